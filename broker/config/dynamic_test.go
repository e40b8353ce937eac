package config

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// What Apache's PasswordEncoder made of "päss" with the secret "secret".
var encodedByKafka = []string{
	"encryptedPassword:gBCKaaK5arCN6/hEnTBdhA==,keyLength:128,cipherAlgorithm:AES/CBC/PKCS5Padding,initializationVector:DQz2FdUW+TnWzNonBk+ACA==,keyFactoryAlgorithm:PBKDF2WithHmacSHA512,passwordLength:4,salt:ikb5iNa2i7f/dHQs+ii2/UpGsWmAz4ex2z1uYf2ric7fhutgz06+AFdsVCmcHphoHcQbcpQVKi+RngTeck5JeB008zb+oIcg4BeHwS4Qn84niJW0HOveQBTOptv7+gyH0D/g4cJzMvl3ikzdasH8zFrUUmx0skiZKaClw5hrQCdHg2ogZ2UhHoMHnKqra//8a+wTm47e6uFYOBG4uMcTMzJ9qLws2EmRfLEm/nHeTKB7INAadsHUoxV7IYqWdbX523GI5Qx8OcwdHuTi1KSS6tvmOlTjUps9tkwYxvle/oswnW6fnygNMFmbys+iz1eyZnHiMhpunYs/Vx0Dvcj0pA==,iterations:4096",
	"encryptedPassword:SZvPc70emLn3rbwx6oBCq4rQASfy,keyLength:128,cipherAlgorithm:AES/GCM/NoPadding,initializationVector:nv8um4I+Rw3KrRI+,keyFactoryAlgorithm:PBKDF2WithHmacSHA512,passwordLength:4,authenticationTagLength:128,salt:yoYuBkPa+f9GDKdn0JEGH5Ynjm98JjDCIDoABh58nkZ4SJLU943E6oh3fbmcRf3/tGIeATVP9XCIKm1dgXiSpBgYOduEGg0JvKqAWJiw3+hLD4XOOmHIeCjl2mozwANzlW21PKnhK1hv+ZWaVRmm0VbOeQE6VBTKDuysAdVG0JWXdCkx3GqyVPeVjYiDK05c8QKD7yP7NaLEiKOC6PMQWS9aVcWPs2UBsl+7uG5HhR8WCdyt0H8Q2k1HX8rG7EMnp5kxffZwEOMt/gyRa2e5aCtIPbWuBYF047FigJvqvSp8d02YFN6OPKOTXUF71H/rYQ4dC0Z9D/9aF/w2mPV2yQ==,iterations:4096",
}

func TestPasswordsAreThoseOfKafka(t *testing.T) {
	e, err := NewPasswordEncoder(map[string]string{"password.encoder.secret": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, encoded := range encodedByKafka {
		if got, err := e.Decode(encoded); err != nil || got != "päss" {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, c := range []string{cipherCBC, cipherGCM} {
		e.Cipher = c
		for _, password := range []string{"", "x", "sixteen letters!", "日本語"} {
			encoded, err := e.Encode(password)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.Decode(encoded); err != nil || got != password {
				t.Errorf("%s of %q: %q, %v", c, password, got, err)
			}
		}
	}
	wrong := PasswordEncoder{Secret: "other"}
	if _, err := wrong.Decode(encodedByKafka[0]); err == nil {
		t.Error("decoded with another secret")
	}
	if _, err := (PasswordEncoder{}).Decode(encodedByKafka[0]); !errors.Is(err, ErrNoSecret) {
		t.Errorf("without a secret: %v", err)
	}
	for _, broken := range []string{"", "x", strings.Replace(encodedByKafka[0], "passwordLength:4", "passwordLength:5", 1), strings.Replace(encodedByKafka[0], "iterations:4096", "iterations:2000000000", 1)} {
		if _, err := e.Decode(broken); err == nil {
			t.Errorf("decoded %.60q", broken)
		}
	}
}

func brokerWith(t *testing.T, props map[string]string) *Broker {
	t.Helper()
	all := map[string]string{"zookeeper.connect": "z:1", "broker.id": "1"}
	for k, v := range props {
		all[k] = v
	}
	b, err := New(all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDynamicSettingsLieOverOneAnother(t *testing.T) {
	b := brokerWith(t, map[string]string{"log.retention.hours": "1", "leader.replication.throttled.rate": "5"})
	b, err := b.WithDynamic(map[string]string{"leader.replication.throttled.rate": "7"}, map[string]string{"log.retention.ms": "1000", "message.max.bytes": "9"})
	if err != nil {
		t.Fatal(err)
	}
	topic, _ := b.Topic(map[string]string{"max.message.bytes": "11"})
	if topic.Long("retention.ms") != 1000 || topic.Long("max.message.bytes") != 11 || b.ThrottledRate("leader.replication.throttled.rate") != 7 ||
		b.ThrottledRate("follower.replication.throttled.rate") != math.MaxInt64 {
		t.Errorf("retention %d, size %d", topic.Long("retention.ms"), topic.Long("max.message.bytes"))
	}
	b, err = b.WithDynamic(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if topic, _ := b.Topic(nil); topic.Long("retention.ms") != 3600_000 || b.ThrottledRate("leader.replication.throttled.rate") != math.MaxInt64 {
		t.Error("what was dynamic stays when it is taken away")
	}
}

func TestWhatStandsWronglyInZooKeeperIsLeftOut(t *testing.T) {
	b := brokerWith(t, map[string]string{"password.encoder.secret": "secret"})
	const password = "listener.name.plaintext.ssl.key.password"
	props, ignored := b.FromPersistent(map[string]string{"log.retention.ms": "5", "num.io.threads": "x", "broker.id": "3", "ssl.key.password": "y",
		password: encodedByKafka[0], "listener.name.x.ssl.key.password": "garbage", "my.own": "1"}, true)
	if len(props) != 3 || props["log.retention.ms"] != "5" || props[password] != "päss" || props["my.own"] != "1" || len(ignored) != 4 {
		t.Errorf("%v, ignored %q", props, ignored)
	}
	props, ignored = b.FromPersistent(map[string]string{"listeners": "PLAINTEXT://:1", "max.connections": "5", "listener.name.x.max.connections": "3"}, false)
	if len(props) != 2 || len(ignored) != 1 {
		t.Errorf("%v, ignored %q", props, ignored)
	}
	persistent, err := b.ToPersistent(map[string]string{password: "p", "a": "b"}, true)
	if err != nil || persistent["a"] != "b" || persistent[password] == "p" {
		t.Errorf("%v, %v", persistent, err)
	}
	if _, err := b.ToPersistent(map[string]string{password: "p"}, false); err == nil {
		t.Error("a password for all brokers was accepted")
	}
}

func TestPasswordsAreEncodedAnewAfterTheSecretChanged(t *testing.T) {
	b := brokerWith(t, map[string]string{"password.encoder.secret": "new", "password.encoder.old.secret": "secret"})
	const key = "listener.name.plaintext.ssl.key.password"
	fresh, changed := b.Reencode(map[string]string{key: encodedByKafka[0], "a": "b"})
	props, ignored := b.FromPersistent(fresh, true)
	if !changed || props[key] != "päss" || props["a"] != "b" || ignored != nil {
		t.Errorf("changed %v, %v, ignored %q", changed, props, ignored)
	}
	if _, changed := b.Reencode(fresh); changed {
		t.Error("encoded anew twice")
	}
}

func TestListenersThatCannotChangeAreRefused(t *testing.T) {
	b := brokerWith(t, map[string]string{"listeners": "PLAINTEXT://127.0.0.1:1"})
	if err := b.CheckUpdate(map[string]string{"listeners": "PLAINTEXT://127.0.0.1:1,NEW://127.0.0.1:2",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,NEW:PLAINTEXT", "listener.name.new.max.connections": "4"}, true); err != nil {
		t.Errorf("a new listener: %v", err)
	}
	err := b.CheckUpdate(map[string]string{"listeners": "PLAINTEXT://127.0.0.1:2", "listener.name.plaintext.sasl.enabled.mechanisms": "PLAIN"}, true)
	if err == nil || !strings.Contains(err.Error(), "existing listener ListenerName(PLAINTEXT)") {
		t.Errorf("a fixed key: %v", err)
	}
}
