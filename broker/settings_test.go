package broker

import (
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"gregor/broker/config"
)

// A message format that brokers of inter.broker.protocol.version could not read is not used, as in Kafka.
func TestMessageFormatNewerThanTheProtocol(t *testing.T) {
	for _, c := range []struct {
		protocol, own string
		magic         int8
		warned        bool
	}{
		{"2.7", "0.9.0", 0, false}, {"2.7", "0.10.2", 1, false}, {"2.7", "2.7", 2, false}, {"0.10.2", "0.9.0", 0, false},
		{"0.10.2", "0.11.0", 1, true}, {"2.0", "2.7", 2, true},
	} {
		b, err := config.New(map[string]string{"zookeeper.connect": "127.0.0.1:1", "inter.broker.protocol.version": c.protocol,
			"log.message.format.version": c.protocol})
		if err != nil {
			t.Fatal(err)
		}
		log, lines := test.NewNullLogger()
		s := newTopicSettings(b, log)
		if got := s.set("t", map[string]string{"message.format.version": c.own}); got.Magic != c.magic {
			t.Errorf("%s with protocol %s: format v%d, want v%d", c.own, c.protocol, got.Magic, c.magic)
		}
		warned := lines.LastEntry() != nil && strings.Contains(lines.LastEntry().Message, "inter.broker.protocol.version="+b.InterBrokerVersion.String())
		if warned != c.warned {
			t.Errorf("%s with protocol %s: warned %v", c.own, c.protocol, warned)
		}
	}
}
