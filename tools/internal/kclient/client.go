package kclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
)

// Config says whom to talk to and as whom.
type Config struct {
	Servers  string            // host:port,host:port
	Props    map[string]string // Kafka's client properties
	ClientID string            // unless client.id is set
	Name     string            // how the client calls itself in warnings: "AdminClient clientId=adminclient-1"
	Warn     io.Writer         // where connection failures are told
}

// Options turns the configuration into kgo's options.
func (c Config) Options() ([]kgo.Opt, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	seeds, err := Servers(c.Servers)
	if err != nil {
		return nil, err
	}
	if p := c.Props["security.protocol"]; p != "" && !strings.EqualFold(p, "PLAINTEXT") {
		return nil, &APIError{Class: "org.apache.kafka.common.config.ConfigException",
			Message: fmt.Sprintf("security.protocol=%s: this tool speaks PLAINTEXT only so far; use a PLAINTEXT listener", p)}
	}
	id := c.ClientID
	if v := c.Props["client.id"]; v != "" {
		id = v
	}
	retryBackoff, err := c.Millis("retry.backoff.ms", 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	maxAge, err := c.Millis("metadata.max.age.ms", 5*time.Minute)
	if err != nil {
		return nil, err
	}
	return []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(id),
		kgo.MetadataMaxAge(max(maxAge, time.Second)),
		kgo.MetadataMinAge(min(max(maxAge, 10*time.Millisecond), 100*time.Millisecond)),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryBackoff }),
		kgo.RequestRetries(1 << 20), // bounded by time, as in Java
		kgo.WithHooks(&connectHook{name: c.Name, warn: c.Warn, last: map[string]time.Time{}}),
	}, nil
}

// Millis reads a duration in milliseconds from the properties.
func (c Config) Millis(key string, def time.Duration) (time.Duration, error) {
	n, err := c.Int(key, def.Milliseconds())
	return time.Duration(n) * time.Millisecond, err
}

// Int reads a number from the properties.
func (c Config) Int(key string, def int64) (int64, error) {
	v, ok := c.Props[key]
	if !ok {
		return def, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil {
		return 0, ConfigError(fmt.Sprintf("Invalid value %s for configuration %s: Not a number of type LONG", v, key))
	}
	return n, nil
}

// Timeout is how long a whole command may wait for its brokers (default.api.timeout.ms).
func (c Config) Timeout() (time.Duration, error) {
	return c.Millis("default.api.timeout.ms", time.Minute)
}

// Servers splits a bootstrap list, with the refusals of Java's ClientUtils.
func Servers(list string) ([]string, error) {
	var out []string
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		hostport := s
		if _, rest, ok := strings.Cut(s, "://"); ok {
			hostport = rest
		}
		if !ValidHostPort(hostport) {
			return nil, ConfigError("Invalid url in bootstrap.servers: " + s)
		}
		out = append(out, hostport)
	}
	if len(out) == 0 {
		return nil, ConfigError("No resolvable bootstrap urls given in bootstrap.servers")
	}
	return out, nil
}

// ValidHostPort tells whether s is host:port with a port in range.
func ValidHostPort(s string) bool {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

// connectHook tells of brokers that cannot be reached, at most once a second each: kgo goes on trying quietly.
type connectHook struct {
	name string
	warn io.Writer
	mu   sync.Mutex
	last map[string]time.Time
}

func (h *connectHook) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || h.warn == nil || errors.Is(err, context.Canceled) {
		return
	}
	addr := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.last[addr]) < time.Second {
		return
	}
	h.last[addr] = time.Now()
	node := meta.NodeID
	if node < 0 {
		node = -1
	}
	cli.Log(h.warn, "WARN", "org.apache.kafka.clients.NetworkClient", fmt.Sprintf(
		"[%s] Connection to node %d (%s) could not be established. Broker may not be available.", h.name, node, addr))
}
