package configs

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gregor/broker/config"
	"gregor/internal/jvm"
	"gregor/internal/topicrules"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
	"gregor/zkmeta"
)

// zkTimeout is how long the command waits for ZooKeeper, and the session it asks for.
const zkTimeout = 30 * time.Second

// zkMode reaches the cluster through its znodes.
type zkMode struct {
	*command
	client *zkmeta.Client
	out    *bufio.Writer
}

// entity is what stands under one path below /config: a type and a sanitized name, which is nil for all of the type.
type entity struct {
	kind string
	name *string
}

func (e entity) String() string {
	shown := map[string]string{users: "user-principal", clients: "client-id", topics: "topic"}[e.kind]
	if shown == "" {
		shown = e.kind
	}
	switch {
	case e.name == nil:
		return e.kind
	case *e.name == zkmeta.DefaultEntity:
		return "default " + shown
	case e.kind == users || e.kind == clients:
		return shown + " '" + desanitize(*e.name) + "'"
	}
	return shown + " '" + *e.name + "'"
}

// path is the entity's, below /config.
func (e entity) path() string {
	if e.name == nil {
		return e.kind
	}
	return e.kind + "/" + *e.name
}

// target is an entity, or a user's client.
type target []entity

func (t target) String() string {
	parts := make([]string, len(t))
	for i := range t {
		parts[i] = t[i].String()
	}
	return strings.Join(parts, ", ")
}

// fullName is the name below the first entity's type.
func (t target) fullName() string {
	name := ""
	if t[0].name != nil {
		name = *t[0].name
	}
	for _, e := range t[1:] {
		name += "/" + e.path()
	}
	return name
}

// sanitize is Kafka's form of a name in a path: an URL's, with %20 for a blank.
func sanitize(name string) string {
	return strings.NewReplacer("+", "%20", "~", "%7E").Replace(url.QueryEscape(name))
}

func desanitize(name string) string {
	if s, err := url.QueryUnescape(name); err == nil {
		return s
	}
	return name
}

func (c *command) target() (target, error) {
	name := func(kind, n string) *string {
		switch {
		case n == "":
			n = zkmeta.DefaultEntity
		case kind == users || kind == clients:
			n = sanitize(n)
		}
		return &n
	}
	if c.types[0] != users && c.types[0] != clients {
		t := target{{kind: c.types[0]}}
		if len(c.names) > 0 {
			t[0].name = name(c.types[0], c.names[0])
		}
		return t, nil
	}
	if c.has("alter") && len(c.names) != len(c.types) {
		return nil, refuse("--entity-name or --entity-default must be specified with each --entity-type for --alter")
	}
	types, names := slices.Clone(c.types), slices.Clone(c.names)
	if len(types) == 2 && types[0] == clients {
		slices.Reverse(types)
		if len(names) == 2 {
			slices.Reverse(names)
		}
	}
	var t target
	for i, kind := range types {
		e := entity{kind: kind}
		if i < len(names) {
			e.name = name(kind, names[i])
		}
		t = append(t, e)
	}
	return t, nil
}

func (c *command) withZooKeeper(ctx context.Context, out *bufio.Writer) error {
	if c.has("zk-tls-config-file") {
		tls, err := props.Load(c.opts.String("zk-tls-config-file"))
		if err != nil {
			return err
		}
		if strings.EqualFold(tls["zookeeper.ssl.client.enable"], "true") {
			return refuse("zookeeper.ssl.client.enable=true in %s: this tool has no TLS to ZooKeeper yet; use --bootstrap-server", c.opts.String("zk-tls-config-file"))
		}
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	zk, err := zkmeta.Dial(ctx, zkmeta.Options{Connect: c.opts.String("zookeeper"), SessionTimeout: zkTimeout, ConnectTimeout: zkTimeout, Log: quiet})
	if err != nil {
		return &kclient.APIError{Class: "kafka.zookeeper.ZooKeeperClientTimeoutException", Message: err.Error()}
	}
	defer zk.Close()
	z := &zkMode{command: c, client: zk, out: out}
	if c.has("alter") {
		return z.alter(ctx)
	}
	return z.describe(ctx)
}

func (z *zkMode) describe(ctx context.Context) error {
	t, err := z.target()
	if err != nil {
		return err
	}
	allUsers := t[0].kind == users && t[0].name == nil && len(t) == 1
	all, err := z.expand(ctx, t)
	if err != nil {
		return err
	}
	for _, t := range all {
		m, err := z.client.EntityConfig(ctx, t[0].kind, t.fullName())
		if err != nil {
			return err
		}
		if len(m) == 0 && allUsers {
			continue // a user who only has clients
		}
		names := slices.Sorted(maps.Keys(m))
		jvm.PropertiesOrder(names)
		for i, n := range names {
			names[i] = n + "=" + m[n]
		}
		fmt.Fprintf(z.out, "Configs for %s are %s\n", t, strings.Join(names, ","))
	}
	return nil
}

// expand lists the entities that a target without all its names stands for.
func (z *zkMode) expand(ctx context.Context, t target) ([]target, error) {
	for i := range t {
		if t[i].name != nil {
			continue
		}
		under := t[:i].parent() + t[i].kind
		names, _, err := z.client.Children(ctx, zkmeta.PathConfig+"/"+under)
		if err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
			return nil, err
		}
		var out []target
		for _, n := range names {
			one := slices.Clone(t)
			one[i].name = &n
			more, err := z.expand(ctx, one)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return []target{t}, nil
}

func (t target) parent() string {
	p := ""
	for _, e := range t {
		p += e.path() + "/"
	}
	return p
}

func (z *zkMode) alter(ctx context.Context) error {
	add, err := z.additions(z.out)
	if err != nil {
		return err
	}
	del := z.deletions()
	t, err := z.target()
	if err != nil {
		return err
	}
	kind, name := t[0].kind, t.fullName()
	switch kind {
	case users:
		err = encodeCredentials(add)
	case brokers:
		add, err = z.prepareBroker(ctx, name, add)
	}
	if err != nil {
		return err
	}
	settings, err := z.client.EntityConfig(ctx, kind, name)
	if err != nil {
		return err
	}
	if err := missing(del, settings); err != nil {
		return err
	}
	maps.Copy(settings, add)
	for _, d := range del {
		delete(settings, d)
	}
	if err := z.validate(ctx, kind, name, settings); err != nil {
		return err
	}
	if err := z.client.SetEntityConfig(ctx, kind, name, settings); err != nil {
		return err
	}
	fmt.Fprintf(z.out, "Completed updating config for entity: %s.\n", t)
	return nil
}

// whileRunning are the settings of brokers that may be written while they run: no broker has to agree to them.
var whileRunning = []string{"leader.replication.throttled.rate", "follower.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second"}

// prepareBroker checks settings for a broker that does not run, and encrypts its passwords.
func (z *zkMode) prepareBroker(ctx context.Context, name string, add map[string]string) (map[string]string, error) {
	var checked []string
	for _, k := range slices.Sorted(maps.Keys(add)) {
		if !slices.Contains(whileRunning, k) {
			checked = append(checked, k)
		}
	}
	if checked == nil {
		return add, nil
	}
	jvm.PropertiesOrder(checked)
	perBroker := name != zkmeta.DefaultEntity
	ids, err := z.client.BrokerIDs(ctx)
	if err != nil {
		return nil, err
	}
	running := len(ids) > 0
	where := "for default cluster if any broker is running"
	if perBroker {
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return nil, refuse("Error parsing broker %s. The broker's Entity Name must be a single integer value", name)
		}
		running, where = slices.Contains(ids, int32(id)), "when broker "+name+" is running"
	}
	if running {
		return nil, refuse("requirement failed: --bootstrap-server option must be specified to update broker configs %s. %s. Broker configuration updates "+
			"using ZooKeeper are supported for bootstrapping before brokers are started to enable encrypted password configs to be stored in ZooKeeper.",
			scalaSet(checked), where)
	}
	settings, encoder := map[string]string{}, map[string]string{}
	for k, v := range add {
		if strings.HasPrefix(k, "password.encoder.") {
			encoder[k] = v
		} else {
			settings[k] = v
		}
	}
	if err := config.CheckDynamic(settings, perBroker); err != nil {
		return nil, configError(err)
	}
	return settings, encodePasswords(settings, encoder)
}

func encodePasswords(settings, encoder map[string]string) error {
	var passwords []string
	for k := range settings {
		if config.IsPassword(k) {
			passwords = append(passwords, k)
		}
	}
	if passwords == nil {
		return nil
	}
	jvm.PropertiesOrder(passwords)
	if _, ok := encoder["password.encoder.secret"]; !ok {
		return refuse("requirement failed: password.encoder.secret must be specified to update %s. Other password encoder configs like cipher algorithm and "+
			"iterations may also be specified to override the default encoding parameters. Password encoder configs will not be persisted in ZooKeeper.",
			scalaSet(passwords))
	}
	e, err := config.NewPasswordEncoder(encoder)
	if err != nil {
		return refuse("%v", err)
	}
	for _, k := range passwords {
		if settings[k], err = e.Encode(settings[k]); err != nil {
			return refuse("%v", err)
		}
	}
	return nil
}

func configError(err error) error {
	var ce *config.Error
	if errors.As(err, &ce) {
		return kclient.ConfigError(ce.Answer())
	}
	return kclient.ConfigError(err.Error())
}

// validate checks what is to be written as a whole.
func (z *zkMode) validate(ctx context.Context, kind, name string, settings map[string]string) error {
	switch kind {
	case topics:
		return z.validateTopic(ctx, name, settings)
	case brokers:
		return nil // checked where it is new
	}
	names := quotaNames
	if kind == users && name != zkmeta.DefaultEntity && !strings.Contains(name, "/clients") {
		names = slices.Concat(scramNames, quotaNames)
	}
	var unknown []string
	for k := range settings {
		if !slices.Contains(names, k) {
			unknown = append(unknown, k)
		}
	}
	if unknown != nil {
		jvm.PropertiesOrder(unknown)
		return refuse("requirement failed: Unknown Dynamic Configuration: HashSet(%s).", strings.Join(unknown, ", "))
	}
	for _, k := range []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"} {
		v, ok := settings[k]
		if !ok {
			continue
		}
		kind := "LONG"
		_, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if k == "request_percentage" || k == "controller_mutation_rate" {
			kind = "DOUBLE"
			_, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
		if err != nil {
			return kclient.ConfigError(fmt.Sprintf("Invalid value %s for configuration %s: Not a number of type %s", v, k, kind))
		}
	}
	return nil
}

func (z *zkMode) validateTopic(ctx context.Context, name string, settings map[string]string) error {
	if err := topicrules.ValidateName(name); err != nil {
		return &kclient.APIError{Class: "org.apache.kafka.common.errors.InvalidTopicException", Message: err.Error()}
	}
	there, err := z.client.TopicExists(ctx, name)
	if err != nil {
		return err
	}
	if !there {
		return &kclient.APIError{Class: "org.apache.kafka.common.errors.UnknownTopicOrPartitionException", Message: "Topic '" + name + "' does not exist."}
	}
	err = config.ValidateTopic(settings)
	var ce *config.Error
	if errors.As(err, &ce) && ce.Structural() {
		return refuse("%v", err)
	}
	if err != nil {
		return kclient.ConfigError(err.Error())
	}
	return nil
}

// encodeCredentials turns passwords of users into what is stored of them.
func encodeCredentials(add map[string]string) error {
	for _, mechanism := range scramNames {
		v, ok := add[mechanism]
		if !ok {
			continue
		}
		constant := strings.ReplaceAll(mechanism, "-", "_")
		iterations, password, err := parseCredential(constant, v, constant)
		if err != nil {
			return err
		}
		salt := make([]byte, 32)
		rand.Read(salt) // never fails
		salted, err := saltedPassword(mechanism, password, salt, iterations)
		if err != nil {
			return err
		}
		newHash, mac := hashOf(mechanism), func(key []byte, text string) []byte {
			h := hmac.New(hashOf(mechanism), key)
			h.Write([]byte(text))
			return h.Sum(nil)
		}
		stored := newHash()
		stored.Write(mac(salted, "Client Key"))
		b64 := base64.StdEncoding.EncodeToString
		add[mechanism] = fmt.Sprintf("salt=%s,stored_key=%s,server_key=%s,iterations=%d", b64(salt), b64(stored.Sum(nil)), b64(mac(salted, "Server Key")), iterations)
	}
	return nil
}

func hashOf(mechanism string) func() hash.Hash {
	if mechanism == "SCRAM-SHA-512" {
		return sha512.New
	}
	return sha256.New
}

func saltedPassword(mechanism, password string, salt []byte, iterations int) ([]byte, error) {
	h := hashOf(mechanism)
	return pbkdf2.Key(h, password, salt, iterations, h().Size())
}
