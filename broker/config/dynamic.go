package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"gregor/internal/jvm"
)

// Dynamic settings stand in ZooKeeper at two levels: those of one broker (/config/brokers/ID) and those of all (/config/brokers/<default>).
// The functions here say what may stand there, and what of it takes effect; they change nothing.

// reloadable are the security keys that Kafka reloads, of which only the form with a listener's prefix may be dynamic.
var reloadable = []string{"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password", "ssl.truststore.type",
	"ssl.truststore.location", "ssl.truststore.password", "ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.truststore.certificates"}

// clusterListenerKeys are the listener keys that may stand at the level of all brokers.
var clusterListenerKeys = []string{"max.connections", "max.connection.creation.rate"}

// threadKeys are the numbers of threads that may at most be doubled or halved at a time, in the order in which Kafka comes across them.
var threadKeys = []string{"num.recovery.threads.per.data.dir", "num.replica.fetchers", "background.threads", "num.network.threads", "num.io.threads"}

// listenerKeys are the keys whose change concerns the listeners.
var listenerKeys = []string{"advertised.listeners", "listeners", "listener.security.protocol.map"}

// Dynamic tells whether a key may be changed while the broker runs.
func (k *Key) Dynamic() bool { return k.Update == PerBroker || k.Update == ClusterWide }

// IsPassword tells whether a dynamic setting is a password, which stands encrypted in ZooKeeper.
func IsPassword(name string) bool {
	for _, k := range keys {
		if k.Type == Password && k.Dynamic() && strings.HasSuffix(name, k.Name) {
			return true
		}
	}
	return false
}

// javaSet is how Scala prints a set of names.
func javaSet(names []string) string {
	kind := "Set"
	if len(names) > 4 {
		kind = "HashSet"
	}
	return kind + "(" + strings.Join(names, ", ") + ")"
}

func readOnlyNames(props map[string]string) []string {
	return pick(props, func(name string) bool { k, ok := keys[name]; return ok && k.Update == ReadOnly })
}

func bareSecurityNames(props map[string]string) []string {
	return pick(props, func(name string) bool { return slices.Contains(reloadable, name) })
}

func perBrokerNames(props map[string]string) []string {
	return pick(props, func(name string) bool {
		if base, _, ok := listenerKey(name); ok {
			return !slices.Contains(clusterListenerKeys, base)
		}
		k, ok := keys[name]
		return ok && k.Update == PerBroker
	})
}

func pick(props map[string]string, wanted func(string) bool) []string {
	var out []string
	for name := range props {
		if wanted(name) {
			out = append(out, name)
		}
	}
	jvm.PropertiesOrder(out)
	return out
}

// checkTypes checks the types and ranges of dynamic settings; a key that is not known is somebody's own and may have any value.
func checkTypes(props map[string]string) error {
	base := make(map[string]string, len(props))
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if b, _, ok := listenerKey(name); ok {
			base[b] = props[name]
		} else {
			base[name] = props[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(base)) {
		if k, ok := keys[name]; ok && k.Update != ReadOnly {
			if _, err := k.parse(base[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckDynamic checks settings by themselves, as they are to be written to one of the two levels. The error's text is Kafka's.
func CheckDynamic(props map[string]string, perBroker bool) error {
	if bad := readOnlyNames(props); bad != nil {
		return refuse(bad[0], "Cannot update these configs dynamically: %s", javaSet(bad))
	}
	if bad := bareSecurityNames(props); bad != nil {
		return refuse(bad[0], "These security configs can be dynamically updated only per-listener using the listener prefix: HashSet(%s)", strings.Join(bad, ", "))
	}
	if err := checkTypes(props); err != nil {
		return err
	}
	if bad := perBrokerNames(props); bad != nil && !perBroker {
		return refuse(bad[0], "Cannot update these configs at default cluster level, broker id must be specified: %s", javaSet(bad))
	}
	return nil
}

// CheckUpdate checks whether this broker can go on with props in the place of what stands at one of the two levels.
func (b *Broker) CheckUpdate(props map[string]string, perBroker bool) error {
	if err := CheckDynamic(props, perBroker); err != nil {
		return err
	}
	own, all := props, b.levels.dynamicDefault
	if !perBroker {
		own, all = b.levels.dynamicBroker, props
	}
	_, err := b.WithDynamic(own, all)
	return err
}

// WithDynamic derives the configuration that holds with the given dynamic settings, those of this broker and those of all, where b can
// become it without a restart.
func (b *Broker) WithDynamic(own, all map[string]string) (*Broker, error) {
	nb, err := b.AtStart(own, all)
	if err != nil {
		return nil, err
	}
	if err := b.checkChange(nb); err != nil {
		// Kafka wraps what its components say into an exception for a setting of this name.
		return nil, refuse("", "Invalid value org.apache.kafka.common.config.ConfigException: %v for configuration Invalid dynamic configuration", err)
	}
	return nb, nil
}

// AtStart is WithDynamic for a broker that does not run yet, which may start with any value.
func (b *Broker) AtStart(own, all map[string]string) (*Broker, error) {
	nb, err := build(levels{static: b.levels.static, dynamicBroker: maps.Clone(own), dynamicDefault: maps.Clone(all)})
	if err == nil && nb.ID != b.ID {
		nb = nb.WithID(b.ID)
	}
	return nb, err
}

// DynamicLevels are the dynamic settings in effect: those of this broker and those of all. The maps are not to be changed.
func (b *Broker) DynamicLevels() (own, all map[string]string) {
	return b.levels.dynamicBroker, b.levels.dynamicDefault
}

// ThrottledRate is one of the rates that exist only as settings of one broker, in bytes per second; math.MaxInt64 is none.
func (b *Broker) ThrottledRate(name string) int64 {
	if _, ok := b.levels.dynamicBroker[name]; !ok {
		return math.MaxInt64
	}
	return b.long(name)
}

// checkChange is what Kafka's reconfigurable components check before they go from one configuration to the next.
func (b *Broker) checkChange(to *Broker) error {
	for _, check := range []func(*Broker) error{b.checkReporters, b.checkLimits, b.checkThreads, b.checkCleaner, b.checkNewListeners} {
		if err := check(to); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) differs(to *Broker, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		v, had := b.Get(n)
		w, has := to.Get(n)
		return v != w || had != has
	})
}

// checkReporters: what Kafka loads as Java classes cannot be loaded here, but the one that Kafka always has.
func (b *Broker) checkReporters(to *Broker) error {
	const key = "metric.reporters"
	if !b.differs(to, key) {
		return nil
	}
	for _, class := range splitList(to.str(key)) {
		if class != "" && class != "org.apache.kafka.common.metrics.JmxReporter" {
			return fmt.Errorf("Validation of dynamic config update of Set(%s) failed with class class kafka.server.DynamicMetricsReporters", key)
		}
	}
	return nil
}

// checkLimits: a limit of connections may not be set to none at run time, at any level.
func (b *Broker) checkLimits(to *Broker) error {
	for _, name := range slices.Sorted(maps.Keys(to.values)) {
		base := name
		if bk, _, ok := listenerKey(name); ok {
			base = bk
		}
		if slices.Contains(clusterListenerKeys, base) && b.differs(to, name) && to.long(name) <= 0 {
			return fmt.Errorf("Invalid %s %d", base, to.long(name))
		}
	}
	return nil
}

func (b *Broker) checkThreads(to *Broker) error {
	for _, name := range threadKeys {
		was, n := b.long(name), to.long(name)
		if n == was {
			continue
		}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("Dynamic thread count update validation failed for %s=%d, value should %s", name, n, fmt.Sprintf(format, args...))
		}
		switch {
		case n <= 0:
			return fail("be at least 1")
		case n < was/2:
			return fail("be at least half the current value %d", was)
		case n > was*2:
			return fail("not be greater than double the current value %d", was)
		}
	}
	return nil
}

func (b *Broker) checkCleaner(to *Broker) error {
	const key = "log.cleaner.threads"
	if !b.bool("log.cleaner.enable") || !b.differs(to, key) {
		return nil
	}
	was, n := b.long(key), to.long(key)
	switch {
	case n < 1:
		return errors.New("Log cleaner threads should be at least 1")
	case n < was/2:
		return fmt.Errorf("Log cleaner threads cannot be reduced to less than half the current value %d", was)
	case n > was*2:
		return fmt.Errorf("Log cleaner threads cannot be increased to more than double the current value %d", was)
	}
	return nil
}

func (b *Broker) checkNewListeners(to *Broker) error {
	if !b.differs(to, listenerKeys...) {
		return nil
	}
	for _, l := range to.Listeners {
		i := slices.IndexFunc(b.Listeners, func(o Listener) bool { return o.Name == l.Name })
		if i < 0 {
			continue
		}
		if !maps.Equal(b.fixedListenerKeys(l.Name), to.fixedListenerKeys(l.Name)) {
			return fmt.Errorf("Configs cannot be updated dynamically for existing listener ListenerName(%s), restart broker or create a new listener for update", l.Name)
		}
		if b.Listeners[i].Protocol != l.Protocol {
			return fmt.Errorf("Security protocol cannot be updated for existing listener ListenerName(%s)", l.Name)
		}
	}
	return nil
}

// fixedListenerKeys are the settings of a listener that only a new listener can have.
func (b *Broker) fixedListenerKeys(listener string) map[string]string {
	out := make(map[string]string)
	for name, v := range b.levels.effective() {
		base, l, ok := listenerKey(name)
		if ok && strings.EqualFold(l, listener) && !slices.Contains(reloadable, base) && !slices.Contains(clusterListenerKeys, base) {
			out[base] = v
		}
	}
	return out
}

// encoder makes the encoder for the passwords of this broker's dynamic settings, with the secret that stands under the given key.
func (b *Broker) encoder(secretKey string) (PasswordEncoder, error) {
	secret, ok := b.Get(secretKey)
	if !ok || secret == "" {
		return PasswordEncoder{}, ErrNoSecret
	}
	props := map[string]string{"password.encoder.secret": secret}
	for _, name := range []string{"password.encoder.cipher.algorithm", "password.encoder.keyfactory.algorithm", "password.encoder.key.length", "password.encoder.iterations"} {
		if v, ok := b.Get(name); ok {
			props[name] = v
		}
	}
	return NewPasswordEncoder(props)
}

// ToPersistent is the form of checked settings that is written to ZooKeeper: passwords are encrypted.
func (b *Broker) ToPersistent(props map[string]string, perBroker bool) (map[string]string, error) {
	out := maps.Clone(props)
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if !IsPassword(name) {
			continue
		}
		if !perBroker {
			return nil, refuse(name, "Password config can be defined only at broker level")
		}
		e, err := b.encoder("password.encoder.secret")
		if err == nil {
			out[name], err = e.Encode(props[name])
		}
		if err != nil {
			return nil, refuse(name, "%v", err)
		}
	}
	return out, nil
}

// FromPersistent is what takes effect of the settings that stand in ZooKeeper. What does not is left out, and said in ignored.
func (b *Broker) FromPersistent(persistent map[string]string, perBroker bool) (props map[string]string, ignored []string) {
	props = maps.Clone(persistent)
	if props == nil {
		props = map[string]string{}
	}
	drop := func(why string, names []string) {
		if names == nil {
			return
		}
		for _, n := range names {
			delete(props, n)
		}
		ignored = append(ignored, why+": "+javaSet(names))
	}
	level := "default cluster"
	if perBroker {
		level = "broker"
	}
	drop("Dynamic "+level+" config contains invalid values, these configs will be ignored",
		pick(props, func(n string) bool { return checkTypes(map[string]string{n: props[n]}) != nil }))
	drop("Non-dynamic configs configured in ZooKeeper will be ignored", readOnlyNames(props))
	drop("Security configs can be dynamically updated only using listener prefix, base configs will be ignored", bareSecurityNames(props))
	if !perBroker {
		drop("Per-broker configs defined at default cluster level will be ignored", perBrokerNames(props))
	}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if !IsPassword(name) {
			continue
		}
		e, err := b.encoder("password.encoder.secret")
		if err == nil {
			props[name], err = e.Decode(props[name])
		}
		if err != nil {
			drop("Dynamic password config could not be decoded ("+err.Error()+"), ignoring", []string{name})
		}
	}
	return props, ignored
}

// Reencode is for a start after password.encoder.secret was changed: passwords that password.encoder.old.secret can read are
// encrypted anew. changed is false when there is nothing to write.
func (b *Broker) Reencode(persistent map[string]string) (props map[string]string, changed bool) {
	old, err := b.encoder("password.encoder.old.secret")
	if err != nil {
		return persistent, false
	}
	props = maps.Clone(persistent)
	for name, v := range persistent {
		if !IsPassword(name) {
			continue
		}
		plain, err := old.Decode(v)
		if err != nil {
			continue // already encrypted with the new one
		}
		e, err := b.encoder("password.encoder.secret")
		if err == nil {
			v, err = e.Encode(plain)
		}
		if err == nil {
			props[name], changed = v, true
		}
	}
	return props, changed
}

// DynamicKeyNames lists the keys that may stand in /config/brokers, sorted.
func DynamicKeyNames() []string {
	var out []string
	for name, k := range keys {
		if k.Update != ReadOnly {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}
