package config

import "testing"

// What each inter.broker.protocol.version stands for, as Apache Kafka 2.7.2 chooses it.
func TestInterBrokerVersions(t *testing.T) {
	for _, c := range []struct {
		version string
		want    InterBroker
	}{
		{"2.7", InterBroker{12, 5, 3, true, 4, 6, 3, 3, true, true, 3, 3, true, 5}},
		{"2.7-IV1", InterBroker{12, 5, 3, true, 4, 6, 3, 3, false, true, 3, 3, true, 5}},
		{"2.6", InterBroker{11, 5, 3, true, 4, 6, 3, 3, false, false, 3, 3, true, 4}},
		{"2.4-IV0", InterBroker{11, 5, 3, true, 3, 5, 1, 2, false, false, 3, 3, true, 4}},
		{"2.1", InterBroker{10, 4, 2, true, 1, 4, 0, 1, false, false, 3, 2, false, 4}},
		{"1.0", InterBroker{5, 2, 0, true, 1, 4, 0, 1, false, false, 1, 1, false, 4}},
		{"0.11.0-IV1", InterBroker{5, 2, 0, false, 0, 3, 0, 1, false, false, 1, 1, false, 4}},
		{"0.8.2", InterBroker{0, 0, 0, false, 0, 0, 0, 0, false, false, 1, 0, false, 2}},
	} {
		v, err := ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.InterBroker(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.version, got, c.want)
		}
	}
}
