package config

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"gregor/internal/properties"
)

// WarningKind says why a setting is worth a line in the log.
type WarningKind uint8

const (
	// UnknownKey: neither Kafka 2.7 nor Gregor has such a key.
	UnknownKey WarningKind = iota
	// NoEffect: the key is accepted, and nothing comes of it.
	NoEffect
)

// Warning is a setting that was accepted and will not do what its author may think.
type Warning struct {
	Kind WarningKind
	Key  string
	Text string
}

func (w Warning) String() string { return w.Text }

func readFile(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	props, err := properties.Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	return props, nil
}

// Load reads the configuration of a broker: the file, over it the KAFKA_* variables of environ (in the form of os.Environ), over both the
// overrides (key=value). With an empty path it is the configuration of a bare start, with environ and overrides laid over it.
func Load(path string, overrides, environ []string) (*Broker, []Warning, error) {
	props := make(map[string]string)
	if path != "" {
		var err error
		if props, err = readFile(path); err != nil {
			return nil, nil, err
		}
	}
	env, warnings := environment(environ)
	_, listenersInFile := props["listeners"]
	maps.Copy(props, env)
	if !listenersInFile {
		listenEverywhere(props, env)
	}
	jmxPort(props, environ)
	for _, o := range overrides {
		k, v, ok := strings.Cut(o, "=")
		if !ok || k == "" {
			return nil, nil, fmt.Errorf("override %q: it is not of the form key=value", o)
		}
		props[k] = v
	}
	given := maps.Clone(props)
	if path == "" {
		layUnder(props)
	}
	b, err := New(props)
	if err != nil {
		return nil, warnings, err
	}
	for _, w := range b.warnings() {
		if _, ok := given[w.Key]; ok { // what a bare start sets is nobody's mistake
			warnings = append(warnings, w)
		}
	}
	return b, warnings, nil
}

// Default is the configuration of a bare start: one broker on this machine, with a ZooKeeper of its own.
func Default() *Broker {
	b, _, err := Load("", nil, nil)
	if err != nil {
		panic("config: the defaults are not valid: " + err.Error())
	}
	return b
}

// layUnder gives a bare start what Kafka's example server.properties gives, on the loopback interface and below the working directory. A
// default stands back when the key that says the same in another way is given.
func layUnder(props map[string]string) {
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := props[n]; return ok })
	}
	put := func(key, value string, others ...string) {
		if !given(append(others, key)...) {
			props[key] = value
		}
	}
	alone := !given("zookeeper.connect")
	put("gregor.zookeeper.embedded", "true", "zookeeper.connect")
	put("zookeeper.connect", "127.0.0.1:2181")
	put("broker.id", "0", "broker.id.generation.enable")
	put("listeners", "PLAINTEXT://127.0.0.1:9092", "host.name", "port", "advertised.listeners", "advertised.host.name", "advertised.port")
	put("log.dirs", "./data/kafka-logs", "log.dir")
	if !alone {
		return // the cluster may have more brokers: Kafka's own numbers of replicas
	}
	for _, k := range []string{"offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr"} {
		put(k, "1")
	}
	put("group.initial.rebalance.delay.ms", "0") // the first member of a group does not wait for others
	put("gregor.transactions.admin.enable", "true")
}

// warnings are about what the user set himself: unknown keys and keys without effect.
func (b *Broker) warnings() []Warning {
	var out []Warning
	for _, name := range slices.Sorted(maps.Keys(b.levels.static)) {
		k, ok := LookupKey(name)
		switch {
		case !ok:
			out = append(out, Warning{UnknownKey, name, "The configuration '" + name + "' was supplied but isn't a known config."})
		case k.Use == Unused && b.values[name] != k.Default:
			out = append(out, Warning{NoEffect, name, "The configuration '" + name + "' is accepted and has no effect in this version of Gregor."})
		case k.Update == DynamicOnly:
			out = append(out, Warning{NoEffect, name, "The configuration '" + name + "' has an effect only as a dynamic configuration in ZooKeeper."})
		}
	}
	return out
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
