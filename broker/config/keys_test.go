package config

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"
)

// recorded reads a table of Kafka 2.7.2's own definitions (taken from its ConfigDefs by reflection), by column name.
func recorded(t *testing.T, file string) []map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := make(map[string]string)
		for i, h := range rows[0] {
			m[h] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func recordedDefault(s string) string {
	switch s {
	case "(required)":
		return required
	case "null":
		return null
	case "(empty)":
		return ""
	}
	return s
}

func compareKey(t *testing.T, k *Key, want map[string]string) {
	t.Helper()
	valid := "-"
	if k.Valid != nil {
		valid = k.Valid.String()
	}
	for _, c := range []struct{ what, got, want string }{
		{"type", strings.ToLower(k.Type.String()), want["type"]},
		{"default", k.Default, recordedDefault(want["default"])},
		{"valid values", valid, want["valid_values"]},
		{"importance", [...]string{"high", "medium", "low"}[k.Importance], want["importance"]},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s is %q, Kafka's is %q", k.Name, c.what, c.got, c.want)
		}
	}
	if k.Doc == "" {
		t.Errorf("%s has no documentation", k.Name)
	}
	if k.HasDefault() {
		if v, err := k.parse(k.Default); err != nil || v != k.Default {
			t.Errorf("%s: the default %q parses to %q, %v", k.Name, k.Default, v, err)
		}
	}
}

func TestBrokerKeysAgreeWithKafka(t *testing.T) {
	rows := recorded(t, "testdata/broker-configs.tsv")
	seen := make(map[string]bool)
	topicOf := make(map[string]string)
	for _, k := range topicKeys {
		topicOf[k.Broker] = k.Name
	}
	for _, row := range rows {
		k, ok := keys[row["name"]]
		if !ok {
			t.Errorf("no key %s", row["name"])
			continue
		}
		seen[k.Name] = true
		compareKey(t, k, row)
		if mode := [...]string{"read-only", "per-broker", "cluster-wide", "dynamic-only"}[k.Update]; mode != row["update_mode"] {
			t.Errorf("%s: update mode is %s, Kafka's is %s", k.Name, mode, row["update_mode"])
		}
		if k.Sensitive() != (row["password"] == "yes") {
			t.Errorf("%s: sensitive is %v, in Kafka it is %s", k.Name, k.Sensitive(), row["password"])
		}
		if got := strings.Join(synonyms(k.Name), " > "); got != row["synonyms_in_order"] {
			t.Errorf("%s: synonyms are %s, Kafka's are %s", k.Name, got, row["synonyms_in_order"])
		}
		if want := strings.Trim(row["topic_config"], "-"); topicOf[k.Name] != want {
			t.Errorf("%s is the default of topic key %q, in Kafka of %q", k.Name, topicOf[k.Name], want)
		}
	}
	for name := range keys {
		if !seen[name] && !isGregors(name) {
			t.Errorf("Kafka has no key %s", name)
		}
	}
}

func TestTopicKeysAgreeWithKafka(t *testing.T) {
	rows := recorded(t, "testdata/topic-configs.tsv")
	if len(rows) != len(topicKeys) {
		t.Errorf("%d topic keys, Kafka has %d", len(topicKeys), len(rows))
	}
	for _, row := range rows {
		k, ok := LookupTopicKey(row["name"])
		if !ok {
			t.Errorf("no key %s", row["name"])
			continue
		}
		compareKey(t, &k.Key, row)
		if falls := k.Broker != ""; falls != (row["falls_back_to_broker"] == "yes") || falls && k.Broker != row["server_default_property"] {
			t.Errorf("%s falls back to %q, in Kafka to %q (%s)", k.Name, k.Broker, row["server_default_property"], row["falls_back_to_broker"])
		}
	}
}
