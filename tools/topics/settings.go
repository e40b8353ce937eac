package topics

import (
	"bufio"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

// setting is one --config.
type setting struct{ name, value string }

type valueType uint8

const (
	typeInt valueType = iota
	typeLong
	typeDouble
	typeBool
	typeText
)

// known are the settings that a topic of 2.7.2 may have. Values beyond their type are checked by the broker.
var known = []struct {
	name string
	typ  valueType
}{
	{"cleanup.policy", typeText},
	{"compression.type", typeText},
	{"delete.retention.ms", typeLong},
	{"file.delete.delay.ms", typeLong},
	{"flush.messages", typeLong},
	{"flush.ms", typeLong},
	{"follower.replication.throttled.replicas", typeText},
	{"index.interval.bytes", typeInt},
	{"leader.replication.throttled.replicas", typeText},
	{"max.compaction.lag.ms", typeLong},
	{"max.message.bytes", typeInt},
	{"message.downconversion.enable", typeBool},
	{"message.format.version", typeText},
	{"message.timestamp.difference.max.ms", typeLong},
	{"message.timestamp.type", typeText},
	{"min.cleanable.dirty.ratio", typeDouble},
	{"min.compaction.lag.ms", typeLong},
	{"min.insync.replicas", typeInt},
	{"preallocate", typeBool},
	{"retention.bytes", typeLong},
	{"retention.ms", typeLong},
	{"segment.bytes", typeInt},
	{"segment.index.bytes", typeInt},
	{"segment.jitter.ms", typeLong},
	{"segment.ms", typeLong},
	{"unclean.leader.election.enable", typeBool},
}

// choices are the texts that have a fixed set of values.
var choices = map[string][]string{
	"cleanup.policy":         {"compact", "delete"},
	"compression.type":       {"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"},
	"message.timestamp.type": {"CreateTime", "LogAppendTime"},
}

func configNames() string {
	var b strings.Builder
	for _, k := range known {
		b.WriteString("\t" + k.name + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
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
	for _, s := range cfg {
		if err := s.check(); err != nil {
			return nil, err
		}
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

func (s setting) check() error {
	for _, k := range known {
		if k.name == s.name {
			return s.checkType(k.typ)
		}
	}
	return s.known()
}

// known refuses a name that no topic setting has.
func (s setting) known() error {
	for _, k := range known {
		if k.name == s.name {
			return nil
		}
	}
	return &kclient.APIError{Class: "org.apache.kafka.common.errors.InvalidConfigurationException", Message: "Unknown topic config name: " + s.name}
}

func (s setting) checkType(t valueType) error {
	var err error
	why := ""
	switch t {
	case typeInt:
		_, err = strconv.ParseInt(s.value, 10, 32)
		why = "Not a number of type INT"
	case typeLong:
		_, err = strconv.ParseInt(s.value, 10, 64)
		why = "Not a number of type LONG"
	case typeDouble:
		_, err = strconv.ParseFloat(s.value, 64)
		why = "Not a number of type DOUBLE"
	case typeBool:
		if !strings.EqualFold(s.value, "true") && !strings.EqualFold(s.value, "false") {
			err = strconv.ErrSyntax
		}
		why = "Expected value to be either true or false"
	case typeText:
		allowed := choices[s.name]
		values := []string{s.value}
		if s.name == "cleanup.policy" { // the one list
			values = strings.Split(s.value, ",")
		}
		for _, v := range values {
			if v = strings.TrimSpace(v); err == nil && allowed != nil && !slices.Contains(allowed, v) {
				s.value, err = v, strconv.ErrSyntax
			}
		}
		why = "String must be one of: " + strings.Join(allowed, ", ")
	}
	if err == nil {
		return nil
	}
	return kclient.ConfigError(fmt.Sprintf("Invalid value %s for configuration %s: %s", s.value, s.name, why))
}
