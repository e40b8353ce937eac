package configs

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gregor/broker/config"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
)

// Types of entities, as --entity-type names them.
const (
	topics  = "topics"
	clients = "clients"
	users   = "users"
	brokers = "brokers"
	loggers = "broker-loggers"
)

var quotaNames = []string{"consumer_byte_rate", "controller_mutation_rate", "producer_byte_rate", "request_percentage"}

var scramNames = []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}

func newParser() *cli.Parser {
	var topicNames []string
	for _, k := range config.TopicKeys() {
		topicNames = append(topicNames, k.Name)
	}
	list := func(names []string) string { return "\n\t" + strings.Join(names, "\n\t") + "\n" }
	return cli.New(cli.Defaults(
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "urls", Doc: "Deprecated: ZooKeeper servers, as host:port,host:port/chroot."},
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Doc: "Brokers to ask, as host:port,host:port. Either this or --zookeeper is needed."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "command config property file", Doc: "Properties file for the admin client; goes with --bootstrap-server."},
		cli.Opt{Name: "alter", Doc: "Change settings of the entity."},
		cli.Opt{Name: "describe", Doc: "Print the settings of the entity."},
		cli.Opt{Name: "all", Doc: "Print all settings of the topic, broker or logger, not only dynamic ones."},
		cli.Opt{Name: "entity-type", Kind: cli.String, Doc: "Type of the entity: topics, clients, users, brokers or broker-loggers."},
		cli.Opt{Name: "entity-name", Kind: cli.String, Doc: "Name of the topic, id of the client or broker, or name of the user's principal."},
		cli.Opt{Name: "entity-default", Doc: "The default of clients, users or brokers, in the place of --entity-name."},
		cli.Opt{Name: "add-config", Kind: cli.String, Doc: "Settings to make: k1=v1,k2=[v1,v2],k3=v3. Brackets hold a value with commas together. Known settings:\n" +
			"of topics:" + list(topicNames) + "of brokers:" + list(config.DynamicKeyNames()) + "of users:" + list(slices.Concat(scramNames, quotaNames)) + "of clients:" + list(quotaNames) +
			"users and clients together are a user's client."},
		cli.Opt{Name: "add-config-file", Kind: cli.String, Doc: "Properties file with settings to make."},
		cli.Opt{Name: "delete-config", Kind: cli.String, Doc: "Settings to take away: k1,k2."},
		cli.Opt{Name: "force", Doc: "Accepted for old scripts; nothing is asked anyway."},
		cli.Opt{Name: "topic", Kind: cli.String, Doc: "The topic's name."},
		cli.Opt{Name: "client", Kind: cli.String, Doc: "The client's id."},
		cli.Opt{Name: "client-defaults", Doc: "The defaults of all clients."},
		cli.Opt{Name: "user", Kind: cli.String, Doc: "The name of the user's principal."},
		cli.Opt{Name: "user-defaults", Doc: "The defaults of all users."},
		cli.Opt{Name: "broker", Kind: cli.String, Doc: "The broker's id."},
		cli.Opt{Name: "broker-defaults", Doc: "The defaults of all brokers."},
		cli.Opt{Name: "broker-logger", Kind: cli.String, Doc: "The id of the broker whose loggers are meant."},
		cli.Opt{Name: "zk-tls-config-file", Kind: cli.String, Arg: "ZooKeeper TLS configuration", Doc: "Properties file with zookeeper.ssl.* settings; TLS to ZooKeeper is not there yet."},
	)...)
}

// command is a checked command line. A name of "" stands for the default entity.
type command struct {
	opts         *cli.Options
	types, names []string
}

func (c *command) has(flag string) bool { return c.opts.Has(flag) }

// flagsOf are the flags that name an entity and its type at once.
var flagsOf = []struct{ flag, kind string }{{"topic", topics}, {"client", clients}, {"user", users}, {"broker", brokers}, {"broker-logger", loggers}}

var defaultFlagsOf = []struct{ flag, kind string }{{"client-defaults", clients}, {"user-defaults", users}, {"broker-defaults", brokers}}

func entities(o *cli.Options) (types, names []string) {
	types = slices.Clone(o.Values("entity-type"))
	values := o.Values("entity-name")
	for _, given := range o.Given {
		switch given {
		case "entity-name":
			names, values = append(names, values[0]), values[1:]
		case "entity-default":
			names = append(names, "")
		}
	}
	for _, f := range flagsOf {
		if o.Has(f.flag) {
			types, names = append(types, f.kind), append(names, o.String(f.flag))
		}
	}
	for _, f := range defaultFlagsOf {
		if o.Has(f.flag) {
			types, names = append(types, f.kind), append(names, "")
		}
	}
	return types, names
}

// check refuses what contradicts itself, in Kafka's order, which decides what a command with two mistakes says.
func check(o *cli.Options) (*command, error) {
	c := &command{opts: o}
	c.types, c.names = entities(o)
	if c.has("alter") == c.has("describe") {
		return nil, &cli.UsageError{Message: "Command must include exactly one action: --describe, --alter"}
	}
	if err := o.Conflict("describe", "alter", "add-config", "delete-config"); err != nil {
		return nil, err
	}
	if err := c.checkTypes(); err != nil {
		return nil, err
	}
	named := slices.ContainsFunc(append(slices.Clone(flagsOf), defaultFlagsOf...), func(f struct{ flag, kind string }) bool { return o.Has(f.flag) })
	if named && (c.has("entity-name") || c.has("entity-type") || c.has("entity-default")) {
		return nil, refuse("--entity-{type,name,default} should not be used in conjunction with specific entity flags")
	}
	switch {
	case !c.has("bootstrap-server") && !c.has("zookeeper"):
		return nil, refuse("One of the required --bootstrap-server or --zookeeper arguments must be specified")
	case c.has("bootstrap-server") && c.has("zookeeper"):
		return nil, refuse("Only one of --bootstrap-server or --zookeeper must be specified")
	case c.has("all") && c.has("zookeeper"):
		return nil, refuse("--bootstrap-server must be specified for --all")
	}
	if err := o.Check("topic", "client", "user", "broker", "broker-logger"); err != nil {
		return nil, err
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	return c, o.Check("zookeeper", "bootstrap-server", "command-config", "add-config", "add-config-file", "zk-tls-config-file")
}

func (c *command) checkTypes() error {
	var twice []string
	seen := map[string]bool{}
	for _, t := range c.types {
		if seen[t] {
			twice = append(twice, t)
		}
		seen[t] = true
	}
	if twice != nil {
		return refuse("Duplicate entity type(s) specified: %s", strings.Join(twice, ","))
	}
	allowed, how := []string{topics, clients, users, brokers}, "--zookeeper"
	if c.has("bootstrap-server") {
		allowed, how = append(allowed, loggers), "--bootstrap-server"
	}
	for _, t := range c.types {
		if !slices.Contains(allowed, t) {
			return refuse("Invalid entity type %s, the entity type must be one of %s with the %s argument", t, strings.Join(allowed, ","), how)
		}
	}
	if len(c.types) == 0 {
		return refuse("At least one entity type must be specified")
	}
	if len(c.types) > 1 && !(len(c.types) == 2 && seen[users] && seen[clients]) {
		return refuse("Only '%s' and '%s' entity types may be specified together", users, clients)
	}
	return nil
}

func (c *command) isFor(kind string) bool { return slices.Contains(c.types, kind) }

func (c *command) checkNames() error {
	named := slices.ContainsFunc(c.names, func(n string) bool { return n != "" })
	byDefault := slices.Contains(c.names, "")
	if named && (c.isFor(brokers) || c.isFor(loggers)) {
		for _, flag := range []string{"entity-name", "broker", "broker-logger"} {
			if !c.has(flag) {
				continue
			}
			if err := c.opts.Check(flag); err != nil {
				return err
			}
			if id := c.opts.String(flag); !isBroker(id) {
				return refuse("The entity name for %s must be a valid integer broker id, but it is: %s", c.types[0], id)
			}
		}
	}
	if c.has("describe") {
		if c.isFor(loggers) && !named {
			return refuse("an entity name must be specified with --describe of %s", strings.Join(c.types, ","))
		}
		return nil
	}
	if c.isFor(users) || c.isFor(clients) || c.isFor(brokers) {
		if !named && !byDefault {
			return refuse("an entity-name or default entity must be specified with --alter of users, clients or brokers")
		}
	} else if !named {
		return refuse("an entity name must be specified with --alter of %s", strings.Join(c.types, ","))
	}
	if c.has("add-config") && c.has("add-config-file") {
		return refuse("Only one of --add-config or --add-config-file must be specified")
	}
	if !c.has("add-config") && !c.has("add-config-file") && !c.has("delete-config") {
		return refuse("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	}
	return nil
}

func isBroker(id string) bool {
	_, err := strconv.ParseInt(id, 10, 32)
	return err == nil
}

// additions are the settings to make.
func (c *command) additions(out io.Writer) (map[string]string, error) {
	add := map[string]string{}
	if c.has("add-config-file") {
		m, err := props.Load(c.opts.String("add-config-file"))
		if err != nil {
			return nil, err
		}
		add = m
	}
	if c.has("add-config") {
		pairs := splitOutside(c.opts.String("add-config"), ",")
		for len(pairs) > 0 && pairs[len(pairs)-1] == "" && c.opts.String("add-config") != "" { // as Java splits
			pairs = pairs[:len(pairs)-1]
		}
		for _, p := range pairs {
			kv := splitOutside(p, "=")
			if len(kv) != 2 {
				return nil, refuse(`requirement failed: Invalid entity config: all configs to be added must be in the format "key=val".`)
			}
			add[strings.TrimSpace(kv[0])] = strings.TrimSpace(brackets.ReplaceAllString(kv[1], ""))
		}
	}
	if v, ok := add["message.format.version"]; ok {
		fmt.Fprintf(out, "WARNING: The configuration message.format.version=%s is specified. "+
			"This configuration will be ignored if the version is newer than the inter.broker.protocol.version specified in the broker.\n", v)
	}
	return add, nil
}

var brackets = regexp.MustCompile(`\[?\]?`)

// splitOutside splits at a separator that is not within brackets: between it and the next closing bracket there is an opening one.
func splitOutside(s, sep string) []string {
	var out []string
	from := 0
	for i := 0; i < len(s); i++ {
		if s[i] != sep[0] {
			continue
		}
		rest, _, closed := strings.Cut(s[i+1:], "]")
		if !closed || strings.Contains(rest, "[") {
			out, from = append(out, s[from:i]), i+1
		}
	}
	return append(out, s[from:])
}

// deletions are the names of settings to take away.
func (c *command) deletions() []string {
	var out []string
	for _, v := range c.opts.Values("delete-config") {
		for name := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

// missing refuses to delete what is not there.
func missing(delete []string, have map[string]string) error {
	var out []string
	for _, d := range delete {
		if _, ok := have[d]; !ok {
			out = append(out, d)
		}
	}
	if out != nil {
		return refuse("Invalid config(s): %s", strings.Join(out, ","))
	}
	return nil
}

// javaOrder lists a map's keys as a java.util.HashMap does that they were put into.
func javaOrder(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return kclient.HashOrder(keys, 0)
}
