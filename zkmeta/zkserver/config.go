package zkserver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gregor/internal/properties"
)

// Config is a zoo.cfg or zookeeper.properties.
type Config struct {
	Options
	Address  string   // what to listen on, host:port
	Warnings []string // keys that were ignored
}

// setting reads one key's value into a Config.
type setting func(c *reading, value string) error

// reading is a Config in the making.
type reading struct {
	Config
	host    string
	port    int
	servers int
}

var settings = map[string]setting{
	"clientPort":        func(c *reading, v string) error { return number(&c.port, v, 0, 65535) },
	"clientPortAddress": func(c *reading, v string) error { c.host = v; return nil },
	"dataDir":           func(c *reading, v string) error { c.DataDir = filepath.Clean(v); return nil },
	"dataLogDir":        func(c *reading, v string) error { c.DataLogDir = filepath.Clean(v); return nil },
	"tickTime":          func(c *reading, v string) error { return millis(&c.TickTime, v, 1) },
	"minSessionTimeout": func(c *reading, v string) error { return millis(&c.MinSessionTimeout, v, -1) },
	"maxSessionTimeout": func(c *reading, v string) error { return millis(&c.MaxSessionTimeout, v, -1) },
	"maxClientCnxns":    func(c *reading, v string) error { return number(&c.MaxClientCnxns, v, 0, 1<<30) },
	"4lw.commands.whitelist": func(c *reading, v string) error {
		if strings.TrimSpace(v) == "*" {
			return nil
		}
		c.Words = []string{}
		for w := range strings.SplitSeq(v, ",") {
			c.Words = append(c.Words, strings.TrimSpace(w))
		}
		return nil
	},
	// What follows matters to an ensemble, or to what the embedded server does by itself; it is checked and not used.
	"initLimit":                 unusedNumber,
	"syncLimit":                 unusedNumber,
	"autopurge.snapRetainCount": unusedNumber,
	"autopurge.purgeInterval":   unusedNumber,
	"admin.serverPort":          unusedNumber,
	"admin.enableServer": func(_ *reading, v string) error {
		if _, err := strconv.ParseBool(strings.ToLower(v)); err != nil {
			return fmt.Errorf("true or false is allowed")
		}
		return nil
	},
}

func unusedNumber(_ *reading, v string) error {
	var n int
	return number(&n, v, 0, 1<<30)
}

// refused are the keys that protect something which the embedded server cannot protect.
var refused = []string{"secureClientPort", "ssl.", "authProvider.", "requireClientAuthScheme", "sessionRequireClientSASLAuth",
	"enforce.auth.", "quorum.auth.", "portUnification", "client.portUnification"}

func number(to *int, v string, lowest, highest int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < lowest || n > highest {
		return fmt.Errorf("a whole number from %d to %d is allowed", lowest, highest)
	}
	*to = n
	return nil
}

func millis(to *time.Duration, v string, lowest int) error {
	var n int
	if err := number(&n, v, lowest, 1<<31-1); err != nil {
		return err
	}
	*to = time.Duration(max(n, 0)) * time.Millisecond // -1 is the default
	return nil
}

// LoadConfig reads a zoo.cfg or zookeeper.properties. What ZooKeeper would refuse is an error that names the key; keys that
// it does not know are ignored with a warning, as ZooKeeper does.
func LoadConfig(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("zookeeper configuration: %w", err)
	}
	return readConfig(string(b), path)
}

func readConfig(text, path string) (*Config, error) {
	c := &reading{port: -1}
	c.MaxClientCnxns = 60
	err := properties.Each(text, func(key, value string) error {
		value = strings.TrimSpace(value)
		if err := c.set(key, value); err != nil {
			return fmt.Errorf("%s=%s: %w", key, value, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s, %w", path, err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &c.Config, nil
}

func (c *reading) set(key, value string) error {
	if f := settings[key]; f != nil {
		return f(c, value)
	}
	for _, p := range refused {
		if key == p || strings.HasSuffix(p, ".") && strings.HasPrefix(key, p) {
			return fmt.Errorf("the embedded ZooKeeper has no such protection and does not start without it; remove the key, or run Apache ZooKeeper")
		}
	}
	switch {
	case strings.HasPrefix(key, "server."):
		if c.servers++; c.servers > 1 {
			return fmt.Errorf("the embedded ZooKeeper runs alone; for an ensemble run Apache ZooKeeper")
		}
	case strings.HasPrefix(key, "admin."):
		// The admin server's HTTP page is not there, whatever it would be called.
		return nil
	}
	c.Warnings = append(c.Warnings, fmt.Sprintf("%s=%s is not used by the embedded ZooKeeper", key, value))
	return nil
}

func (c *reading) check() error {
	if c.DataDir == "" {
		return fmt.Errorf("dataDir is missing")
	}
	if c.port < 0 {
		return fmt.Errorf("clientPort is missing")
	}
	tick := c.TickTime
	if tick == 0 {
		tick = 3 * time.Second
	}
	shortest, longest := c.MinSessionTimeout, c.MaxSessionTimeout
	if shortest == 0 {
		shortest = 2 * tick
	}
	if longest == 0 {
		longest = 20 * tick
	}
	if shortest > longest {
		return fmt.Errorf("minSessionTimeout=%d is more than maxSessionTimeout=%d", shortest.Milliseconds(), longest.Milliseconds())
	}
	c.Address = net.JoinHostPort(c.host, strconv.Itoa(c.port))
	return nil
}
