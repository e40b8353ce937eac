package config

import (
	"maps"
	"slices"
	"strings"
)

// Source is where a value comes from, with the numbers of DescribeConfigs.
type Source int8

const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
	SourceLogger         Source = 6
)

// Synonym is one of the places that could have given an entry its value, the strongest first.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// Entry is one line of a described resource.
type Entry struct {
	Name string
	// Value is nil when the key has none, or when it is sensitive.
	Value     *string
	Source    Source
	Sensitive bool
	ReadOnly  bool
	Type      Type
	Doc       string
	Synonyms  []Synonym
}

// DescribeTopic lists all topic keys as they are in effect with the given settings of the topic.
func (b *Broker) DescribeTopic(overrides map[string]string) []Entry {
	t, _ := b.Topic(overrides)
	out := make([]Entry, 0, len(topicKeys)+1)
	for i := range topicKeys {
		k := &topicKeys[i]
		v := t.values[k.Name]
		e := Entry{Name: k.Name, Value: &v, Type: k.Type, Doc: k.Doc, Source: SourceDefault}
		if _, own := overrides[k.Name]; own {
			e.Synonyms = append(e.Synonyms, Synonym{k.Name, &v, SourceTopic})
		}
		if k.Broker != "" {
			e.Synonyms = append(e.Synonyms, b.synonymsOf(k.Broker, false)...)
		}
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		out = append(out, e)
	}
	// What stands in the znode and is no topic key is shown as Kafka shows it: by name, of unknown type, so taken for sensitive.
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if _, ok := topicKeyByName[name]; !ok {
			out = append(out, Entry{Name: name, Source: SourceTopic, Sensitive: true, Synonyms: []Synonym{{name, nil, SourceTopic}}})
		}
	}
	return out
}

// Describe lists the keys of this broker as they are in effect, unknown ones that the user set included.
func (b *Broker) Describe() []Entry {
	names := make(map[string]bool, len(keys))
	for name, k := range keys {
		if k.Update != DynamicOnly && !isGregors(name) || b.IsSet(name) {
			names[name] = true
		}
	}
	for name := range b.levels.effective() {
		names[name] = true
	}
	out := make([]Entry, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, b.describe(name, true))
	}
	return out
}

// DescribeDefault lists the dynamic settings for all brokers.
func (b *Broker) DescribeDefault() []Entry {
	var out []Entry
	for _, name := range slices.Sorted(maps.Keys(b.levels.dynamicDefault)) {
		out = append(out, b.describe(name, false))
	}
	return out
}

func (b *Broker) describe(name string, perBroker bool) Entry {
	k, known := LookupKey(name)
	e := Entry{Name: name, Source: SourceDefault, ReadOnly: true, Sensitive: !known}
	if known {
		e.Type, e.Sensitive = k.Type, k.Sensitive()
		e.ReadOnly = !k.Dynamic() || name != k.Name
		if name == k.Name {
			e.Doc = k.Doc
		}
	}
	if !e.Sensitive {
		if v, ok := b.values[name]; ok {
			e.Value = &v
		} else if v, ok := b.levels.effective()[name]; ok {
			e.Value = &v
		}
		if !perBroker {
			v := b.levels.dynamicDefault[name]
			e.Value = &v
		}
	}
	e.Synonyms = b.synonymsOf(name, e.Sensitive)
	if !perBroker {
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s Synonym) bool { return s.Source != SourceDynamicDefault })
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// synonymsOf lists where a broker key's value could come from, strongest first, beginning with the key itself.
func (b *Broker) synonymsOf(name string, sensitive bool) []Synonym {
	var out []Synonym
	add := func(level map[string]string, source Source) {
		for _, s := range synonyms(name) {
			if v, ok := level[s]; ok {
				if sensitive {
					out = append(out, Synonym{s, nil, source})
				} else {
					out = append(out, Synonym{s, &v, source})
				}
			}
		}
	}
	add(b.levels.dynamicBroker, SourceDynamicBroker)
	add(b.levels.dynamicDefault, SourceDynamicDefault)
	add(b.levels.static, SourceStatic)
	defaults := make(map[string]string)
	for _, s := range synonyms(name) {
		if k, ok := keys[s]; ok && k.HasDefault() && k.Update != DynamicOnly {
			defaults[s] = k.Default
		}
	}
	add(defaults, SourceDefault)
	for i := range out {
		if out[i].Name == name {
			return out[i:]
		}
	}
	return nil
}

func isGregors(name string) bool {
	return strings.HasPrefix(name, "gregor.") || name == "metrics.listener"
}
