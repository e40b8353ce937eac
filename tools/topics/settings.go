package topics

import (
	"bufio"
	"fmt"
	"regexp"
	"strings"

	"gregor/broker/config"
	"gregor/tools/internal/kclient"
)

// setting is one --config.
type setting struct{ name, value string }

func configNames() string {
	var names []string
	for _, k := range config.TopicKeys() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ") + "."
}

var equals = regexp.MustCompile(`\s*=\s*`)

// parseSettings splits and checks --config. The last of several values for a name wins.
func parseSettings(c *command, out *bufio.Writer) ([]setting, error) {
	var cfg []setting
	for _, arg := range c.config {
		parts := equals.Split(arg, -1)
		for len(parts) > 1 && parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1]
		}
		if len(parts) != 2 {
			return nil, kclient.IllegalArgument(`requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`)
		}
		cfg = put(cfg, setting{strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1])})
	}
	if err := config.ValidateTopic(asMap(cfg)); err != nil {
		if !isKnown(cfg) {
			return nil, kafkaError("InvalidConfigurationException", "%v", err)
		}
		return nil, kclient.ConfigError(err.Error())
	}
	for _, s := range cfg {
		if s.name == "message.format.version" {
			fmt.Fprintf(out, "WARNING: The configuration message.format.version=%s is specified. "+
				"This configuration will be ignored if the version is newer than the inter.broker.protocol.version specified in the broker.\n", s.value)
		}
	}
	return cfg, nil
}

func put(cfg []setting, s setting) []setting {
	for i := range cfg {
		if cfg[i].name == s.name {
			cfg[i].value = s.value
			return cfg
		}
	}
	return append(cfg, s)
}

func isKnown(cfg []setting) bool {
	for _, s := range cfg {
		if s.known() != nil {
			return false
		}
	}
	return true
}

// known refuses a name that no topic setting has.
func (s setting) known() error {
	if _, ok := config.LookupTopicKey(s.name); ok {
		return nil
	}
	return kafkaError("InvalidConfigurationException", "Unknown topic config name: %s", s.name)
}
