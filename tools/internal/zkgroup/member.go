package zkgroup

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gregor/internal/jvm"
	"gregor/internal/topicrules"
)

// Patterns of subscriptions.
const (
	Static    = "static" // topics and their streams
	WhiteList = "white_list"
	BlackList = "black_list"
)

// member is what a znode below ids says: one subscription of a consumer, and how many streams (threads) read it.
type member struct {
	id           string
	pattern      string
	subscription map[string]int
}

// encode writes a member's znode as the high-level consumer does.
func (m *member) encode(now int64) []byte {
	b := []byte(`{"version":1,"subscription":{`)
	names := make([]string, 0, len(m.subscription))
	for name := range m.subscription {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jvm.AppendJSON(b, name), ':')
		b = strconv.AppendInt(b, int64(m.subscription[name]), 10)
	}
	b = append(b, `},"pattern":"`...)
	b = append(b, m.pattern...)
	b = append(b, `","timestamp":"`...)
	b = strconv.AppendInt(b, now, 10)
	return append(b, `"}`...)
}

// decode reads a member's znode.
func decode(id string, data []byte) (*member, error) {
	var v struct {
		Subscription map[string]int `json:"subscription"`
		Pattern      string         `json:"pattern"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("member %s of the group holds %.200q: %w", id, data, err)
	}
	m := &member{id: id, pattern: v.Pattern, subscription: v.Subscription}
	switch v.Pattern {
	case Static:
	case WhiteList, BlackList:
		if len(v.Subscription) != 1 {
			return nil, fmt.Errorf("member %s of the group subscribes to %d patterns: want one", id, len(v.Subscription))
		}
	default:
		return nil, fmt.Errorf("member %s of the group has the unknown pattern %q", id, v.Pattern)
	}
	for _, n := range v.Subscription {
		if n < 0 || n > maxStreams {
			return nil, fmt.Errorf("member %s of the group has %d streams: want 0 to %d", id, n, maxStreams)
		}
	}
	return m, nil
}

// maxStreams bounds what a znode can make this process compute.
const maxStreams = 10_000

// topics are those of all that the member reads, and with how many streams.
func (m *member) topics(all []string, internal bool) (map[string]int, error) {
	if m.pattern == Static {
		return m.subscription, nil
	}
	out := map[string]int{}
	for pattern, streams := range m.subscription {
		re, err := compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("member %s of the group: %w", m.id, err)
		}
		for _, t := range all {
			if re.MatchString(t) == (m.pattern == WhiteList) && (internal || t != topicrules.OffsetsTopic) {
				out[t] = streams
			}
		}
	}
	return out, nil
}

// compile makes a filter of topics: commas are alternatives, blanks and outer quotes do not count, and the whole name has to match.
func compile(pattern string) (*regexp.Regexp, error) {
	p := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(pattern), ",", "|"), " ", "")
	p = strings.TrimRight(strings.TrimLeft(p, `"'`), `"'`)
	re, err := regexp.Compile("^(?:" + p + ")$")
	if err != nil {
		return nil, fmt.Errorf("%q is no pattern of topics: %w", pattern, err)
	}
	return re, nil
}

// thread names a stream of a member; these share out partitions, and owner znodes hold them.
func thread(id string, n int) string { return id + "-" + strconv.Itoa(n) }

// threadsOf lists the threads of all members that read a topic, in the order in which they share it out.
func threadsOf(members []*member, topic string, all []string, internal bool) ([]string, error) {
	var out []string
	for _, m := range members {
		topics, err := m.topics(all, internal)
		if err != nil {
			return nil, err
		}
		for n := range topics[topic] {
			out = append(out, thread(m.id, n))
		}
	}
	slices.Sort(out)
	return out, nil
}

// share is the range assignment: each thread has a run of the sorted partitions, the first ones one more if they do not divide evenly.
func share(partitions []int32, threads []string, mine string) []int32 {
	at := slices.Index(threads, mine)
	if at < 0 {
		return nil
	}
	partitions = slices.Clone(partitions)
	slices.Sort(partitions)
	each, more := len(partitions)/len(threads), len(partitions)%len(threads)
	from := each*at + min(at, more)
	to := from + each
	if at < more {
		to++
	}
	return partitions[from:to]
}
