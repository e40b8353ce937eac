package compare

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is one side of the comparison.
type Broker struct {
	Name, Addr string
	// ID is the broker's node id, Topic the prefix of everything the run creates.
	ID    int32
	Topic string
	// LogDir is where the broker keeps its logs, Root its part of the ZooKeeper tree.
	LogDir, Root string
	LogDirs      []string

	zk   *zk.Conn
	conn net.Conn
	corr int32
}

const answerTimeout = 30 * time.Second

// Ask sends one request and decodes the answer. A connection that the broker closes is an error; the next Ask opens another.
func (b *Broker) Ask(req kmsg.Request) (kmsg.Response, error) {
	if b.conn == nil {
		c, err := net.Dial("tcp", b.Addr)
		if err != nil {
			return nil, fmt.Errorf("connecting to %s at %s: %w", b.Name, b.Addr, err)
		}
		b.conn = c
	}
	resp, err := b.exchange(req)
	if err != nil {
		b.conn.Close()
		b.conn = nil
	}
	return resp, err
}

func (b *Broker) exchange(req kmsg.Request) (kmsg.Response, error) {
	b.corr++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("compare")).AppendRequest(nil, req, b.corr)
	if err := b.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := b.conn.Write(frame); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(b.conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(b.conn, body); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != b.corr {
		return nil, fmt.Errorf("correlation id %d, want %d", got, b.corr)
	}
	body = body[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && resp.Key() != kmsg.ApiVersions.Int16() {
		body = body[1:] // no header tags
	}
	return resp, resp.ReadFrom(body)
}

// answer is an answer as it is compared: a tree of maps, with what may differ masked and lists in a fixed order.
func answer(resp kmsg.Response, err error, mask map[string]bool) any {
	if err != nil {
		return map[string]any{"connection": "closed"}
	}
	raw, err := json.Marshal(resp)
	if err != nil {
		return map[string]any{"undecodable": err.Error()}
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return map[string]any{"undecodable": err.Error()}
	}
	return normal(tree, mask)
}

// always are the fields that differ between any two clusters, or by design: Gregor's documentation is its own.
var always = map[string]bool{"Host": true, "Port": true, "ClusterID": true, "Dir": true, "ThrottleMillis": true, "UnknownTags": true, "Documentation": true,
	"TopicID": true}

func normal(v any, mask map[string]bool) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			switch {
			case k == "UnknownTags":
				delete(v, k)
			case always[k] || mask[k]:
				if n, number := e.(float64); e != nil && e != "" && !(number && n == -1) {
					v[k] = "..."
				}
			default:
				v[k] = normal(e, mask)
			}
		}
		if name, ok := v["Name"].(string); ok && mask["value of "+name] {
			for _, k := range []string{"Value", "Source", "ConfigSynonyms"} {
				if _, ok := v[k]; ok {
					v[k] = "..."
				}
			}
		}
		return v
	case []any:
		v = slices.DeleteFunc(v, isGregors)
		for i := range v {
			v[i] = normal(v[i], mask)
		}
		if len(v) == 0 {
			return nil // null and empty lists mean the same to every client
		}
		if _, objects := v[0].(map[string]any); objects {
			sort.Slice(v, func(i, j int) bool { return text(v[i]) < text(v[j]) })
		}
		return v
	}
	return v
}

// isGregors tells whether a list entry is a key of Gregor's own, which a broker lists when the user set it.
func isGregors(e any) bool {
	m, _ := e.(map[string]any)
	name, _ := m["Name"].(string)
	return strings.HasPrefix(name, "gregor.") || name == "metrics.listener"
}

// onlyTopics leaves out list entries about topics without the prefix.
func onlyTopics(v any, prefix string) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = onlyTopics(v[k], prefix)
		}
	case []any:
		var kept []any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				if name, ok := m["Topic"].(string); ok && !strings.HasPrefix(name, prefix) {
					continue
				}
			}
			kept = append(kept, onlyTopics(e, prefix))
		}
		if kept == nil {
			return nil
		}
		return kept
	}
	return v
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// codes collects the error codes in an answer.
func codes(v any, into map[int]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if n, ok := e.(float64); ok && strings.HasSuffix(k, "ErrorCode") {
				into[int(n)] = true
			}
			codes(e, into)
		}
	case []any:
		for _, e := range v {
			codes(e, into)
		}
	}
}

// difference describes where two answers part; "" if they are the same.
func difference(path string, a, b any) []string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		var out []string
		keys := make(map[string]bool)
		for k := range x {
			keys[k] = true
		}
		for k := range y {
			keys[k] = true
		}
		names := make([]string, 0, len(keys))
		for k := range keys {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			out = append(out, difference(path+"."+k, x[k], y[k])...)
		}
		return out
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		var out []string
		for i := range x {
			out = append(out, difference(fmt.Sprintf("%s[%d]", path, i), x[i], y[i])...)
		}
		return out
	}
	if text(a) == text(b) {
		return nil
	}
	return []string{fmt.Sprintf("%s: %.600s / %.600s", path, text(a), text(b))}
}

// plainTree makes a tree of what JSON makes of it, so that numbers and lists compare alike.
func plainTree(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return err.Error()
	}
	return tree
}
