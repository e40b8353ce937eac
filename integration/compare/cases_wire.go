package compare

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// notServed are the request types that Gregor does not list yet (docs/deviations.md).
var notServed = []int16{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 26, 27, 28, 29, 30, 31, 33, 34, 36, 38, 39, 40, 41, 42, 43, 45, 46, 47, 48, 49, 50, 51, 56, 57}

// header is a request's header without its length.
func header(key, version int16, corr int32, client *string, flexible bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(corr))
	if client == nil {
		b = append(b, 0xff, 0xff)
	} else {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(*client))), *client...)
	}
	if flexible {
		b = append(b, 0)
	}
	return b
}

func wireCases() []Case {
	raw := func(key kmsg.Key, name string, sent func(b *Broker) []byte) Case {
		return Case{Key: key, Name: name, Min: 0, Max: -1, Do: func(b *Broker, _ int16) any { return b.talk(sent(b), 1, false) }}
	}
	cases := append(apiVersionsCases(), frameCases(raw)...)
	cases = append(cases, headerCases(raw)...)
	for key := kmsg.Key(0); key <= 60; key++ {
		for _, v := range []int16{-1, 99} {
			if key == kmsg.ApiVersions {
				continue
			}
			cases = append(cases, raw(key, fmt.Sprintf("version %d", v), func(*Broker) []byte {
				return sized(append(header(key.Int16(), v, 7, ptr("c"), false), 0, 0, 0, 0, 0, 0, 0, 0))
			}))
		}
		if newest[key] > 0 && key != kmsg.ApiVersions {
			cases = append(cases, raw(key, "the version after the newest", func(*Broker) []byte {
				return sized(append(header(key.Int16(), newest[key]+1, 7, ptr("c"), true), 0, 0, 0, 0, 0, 0, 0, 0))
			}))
			for v := int16(0); v <= newest[key]; v++ {
				cases = append(cases, raw(key, fmt.Sprintf("empty body, v%d", v), func(*Broker) []byte {
					return sized(header(key.Int16(), v, 7, ptr("c"), kmsg.RequestForKey(key.Int16()) != nil && flexible(key, v)))
				}))
			}
		}
	}
	return append(cases, sequenceCases()...)
}

func flexible(key kmsg.Key, v int16) bool {
	r := kmsg.RequestForKey(key.Int16())
	r.SetVersion(v)
	return r.IsFlexible()
}

func apiVersionsCases() []Case {
	ask := func(name string, min, max int16, edit func(r *kmsg.ApiVersionsRequest)) Case {
		return Case{Key: kmsg.ApiVersions, Name: name, Min: min, Max: max, Do: func(b *Broker, v int16) any {
			r := kmsg.NewPtrApiVersionsRequest()
			r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = v, "compare", "1.0"
			edit(r)
			resp, err := b.Ask(r)
			if a, ok := resp.(*kmsg.ApiVersionsResponse); ok && err == nil {
				a.ApiKeys = without(a.ApiKeys, notServed)
				a.FinalizedFeaturesEpoch = 0 // 0 until something is finalized, in both
			}
			return answer(resp, err, nil)
		}}
	}
	return []Case{
		ask("listed, what is not there yet left out", 0, 3, func(*kmsg.ApiVersionsRequest) {}),
		ask("no name", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "" }),
		ask("no software version", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareVersion = "" }),
		ask("spaces in the name", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "a b" }),
		ask("name with inner punctuation", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "a-b.c" }),
		ask("name ends in a dot", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "a." }),
		ask("name of one letter", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "a" }),
		ask("name not ASCII", 3, 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "ä" }),
	}
}

func without(keys []kmsg.ApiVersionsResponseApiKey, drop []int16) []kmsg.ApiVersionsResponseApiKey {
	var kept []kmsg.ApiVersionsResponseApiKey
	for _, k := range keys {
		dropped := false
		for _, d := range drop {
			dropped = dropped || d == k.ApiKey
		}
		if !dropped {
			kept = append(kept, k)
		}
	}
	return kept
}

type rawCase func(key kmsg.Key, name string, sent func(b *Broker) []byte) Case

func frameCases(raw rawCase) []Case {
	size := func(name string, n uint32) Case {
		return raw(kmsg.ApiVersions, "frame: "+name, func(*Broker) []byte {
			return append(binary.BigEndian.AppendUint32(nil, n), header(18, 0, 1, nil, false)...)
		})
	}
	short := func(n int) Case {
		return raw(kmsg.ApiVersions, fmt.Sprintf("frame of %d bytes", n), func(*Broker) []byte { return sized(header(18, 0, 1, ptr("abc"), false)[:n]) })
	}
	cases := []Case{size("size -1", 1<<32-1), size("size over socket.request.max.bytes", 104857601), size("size MinInt32", 1<<31), size("size 2147483647", 1<<31-1)}
	for _, n := range []int{0, 1, 2, 4, 6, 8, 9, 10, 12} {
		cases = append(cases, short(n))
	}
	return cases
}

// briefly keeps the first bytes of each raw answer.
func briefly(c Case, n int) Case {
	do := c.Do
	c.Do = func(b *Broker, v int16) any {
		got := do(b, v)
		if m, ok := got.(map[string]any); ok {
			answers, _ := m["answers"].([]any)
			for i, a := range answers {
				if h, ok := a.(string); ok {
					answers[i] = h[:min(len(h), 2*n)]
				}
			}
		}
		return got
	}
	return c
}

func negative(c Case) Case {
	c.Deliberate = "Kafka takes any negative length for null; Gregor knows -1 only and closes the connection"
	return c
}

func headerCases(raw rawCase) []Case {
	// Answers that list what a broker has are compared by their correlation id and error code only.
	api := func(name string, sent []byte) Case {
		return briefly(raw(kmsg.ApiVersions, "header: "+name, func(*Broker) []byte { return sized(sent) }), 6)
	}
	v3body := []byte{8, 'c', 'o', 'm', 'p', 'a', 'r', 'e', 4, '1', '.', '0', 0}
	tagged := func(tags ...byte) []byte {
		return append(append(header(18, 3, 9, ptr("c"), false), tags...), v3body...)
	}
	metadata := func(name string, v int16, flexible bool, body ...byte) Case {
		return briefly(raw(kmsg.Metadata, "body: "+name, func(*Broker) []byte { return sized(append(header(3, v, 5, ptr("c"), flexible), body...)) }), 4)
	}
	list := func(name string, v int16, flexible bool, body ...byte) Case {
		return raw(kmsg.ListOffsets, "body: "+name, func(*Broker) []byte { return sized(append(header(2, v, 5, ptr("c"), flexible), body...)) })
	}
	cases := []Case{
		api("null client id", header(18, 0, 1, nil, false)), api("empty client id", header(18, 0, 1, ptr(""), false)), api("client id not UTF-8", header(18, 0, 1, ptr("\xff\xfe"), false)),
		api("client id too long", append(header(18, 0, 1, nil, false)[:8], 0x7f, 0xff, 'a')), negative(api("client id length -2", append(header(18, 0, 1, nil, false)[:8], 0xff, 0xfe))),
		api("negative correlation id", header(18, 0, -5, nil, false)),
		api("trailing bytes", append(header(18, 0, 1, nil, false), 1, 2, 3)),
		api("v3", tagged(0)), api("v3, a tag", tagged(1, 5, 2, 'x', 'y')), api("v3, two tags", tagged(2, 0, 1, 'x', 7, 0)), api("v3, tags out of order", tagged(2, 7, 0, 0, 1, 'x')),
		api("v3, a tag twice", tagged(2, 7, 0, 7, 0)), api("v3, a tag too long", tagged(1, 5, 200, 1)), api("v3, tag count too large", tagged(0xff, 0xff, 0x7f)),
		api("v3, null client id", append(append(header(18, 3, 9, nil, false), 0), v3body...)),
		api("v3, trailing bytes", append(tagged(0), 1, 2, 3)),
		api("v3, tags in the body", append(append(tagged(0)[:len(tagged(0))-1], 1, 3, 1), 'z')),
		api("version 4", append(header(18, 4, 9, ptr("c"), true), v3body...)), api("version 100", header(18, 100, 9, ptr("c"), false)), api("version -1", header(18, -1, 9, ptr("c"), false)),
		api("version -32768", header(18, -32768, 9, ptr("c"), false)), api("version 4 without client id", header(18, 4, 9, nil, false)[:8]),
		metadata("trailing bytes", 1, false, 0, 0, 0, 0, 9, 9), metadata("count too large", 1, false, 0x7f, 0xff, 0xff, 0xff), negative(metadata("count -2", 1, false, 0xff, 0xff, 0xff, 0xfe)),
		metadata("null topics in v0", 0, false, 0xff, 0xff, 0xff, 0xff), metadata("null name", 1, false, 0, 0, 0, 1, 0xff, 0xff), metadata("name too long", 1, false, 0, 0, 0, 1, 0x70, 0, 'a'),
		metadata("v9 null name", 9, true, 2, 0, 0, 1, 0, 0, 0), metadata("v9 count too large", 9, true, 0xff, 0xff, 0xff, 0xff, 7, 1, 0, 0, 0), metadata("v9 varint too long", 9, true, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		metadata("v9 trailing", 9, true, 1, 0, 0, 0, 0, 8, 8, 8), metadata("boolean 2", 4, false, 0, 0, 0, 0, 2), metadata("boolean missing", 4, false, 0, 0, 0, 0),
		metadata("count cut", 1, false, 0, 0), metadata("name cut", 1, false, 0, 0, 0, 1, 0, 5, 'a', 'b'), metadata("name not UTF-8", 1, false, 0, 0, 0, 1, 0, 2, 0xff, 0xfe),
		list("null topics", 1, false, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), list("null name", 1, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0),
		list("null partitions", 1, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff),
		list("partitions cut", 1, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0),
	}
	produceBody := func(name string, v int16, body ...byte) Case {
		return raw(kmsg.Produce, "body: "+name, func(*Broker) []byte { return sized(append(header(0, v, 5, ptr("c"), false), body...)) })
	}
	fetchBody := func(name string, v int16, body ...byte) Case {
		return raw(kmsg.Fetch, "body: "+name, func(*Broker) []byte { return sized(append(header(1, v, 5, ptr("c"), v >= 12), body...)) })
	}
	neg := []byte{0xff, 0xff, 0xff, 0xff}
	cat := func(parts ...[]byte) []byte {
		var out []byte
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	fetchHead := cat(neg, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}) // v4: replica, wait, min, max, isolation
	return append(cases,
		produceBody("null topics", 3, cat([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 0}, neg)...),
		produceBody("null topic name", 3, cat([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0})...),
		produceBody("null partitions", 3, cat([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a'}, neg)...),
		produceBody("too many topics", 3, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff),
		produceBody("topics cut", 3, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0),
		produceBody("record bytes cut", 3, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1),
		produceBody("record bytes -2", 3, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe),
		produceBody("trailing bytes", 3, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9),
		produceBody("old set, nothing, v2", 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
		fetchBody("null topics", 4, cat(fetchHead, neg)...),
		fetchBody("null topic name", 4, cat(fetchHead, []byte{0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0})...),
		fetchBody("null partitions", 4, cat(fetchHead, []byte{0, 0, 0, 1, 0, 1, 'a'}, neg)...),
		fetchBody("too many topics", 4, cat(fetchHead, []byte{0x7f, 0xff, 0xff, 0xff})...),
		fetchBody("trailing bytes", 4, cat(fetchHead, []byte{0, 0, 0, 0, 7, 7, 7})...),
		fetchBody("partitions cut", 4, cat(fetchHead, []byte{0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0})...),
	)
}

// sequenceCases send several requests at once.
func sequenceCases() []Case {
	several := func(name string, answers int, half bool, sent func(b *Broker) []byte) Case {
		return Case{Key: kmsg.Fetch, Name: name, Min: 0, Max: -1, Do: func(b *Broker, _ int16) any { return b.talk(sent(b), answers, half) }}
	}
	list := func(b *Broker, v int16) kmsg.Request {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID = v, -1
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: b.topic("f", 0), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		return r
	}
	wait := func(b *Broker) kmsg.Request {
		r := fetch(b, 4, "f", fetchPart(0, 6))
		r.MinBytes, r.MaxWaitMillis = 1, 300
		return r
	}
	return []Case{
		several("half-closed: answers still come", 2, true, func(b *Broker) []byte { return append(frame(list(b, 1), 1), frame(list(b, 2), 2)...) }),
		several("half-closed: a waiting fetch is answered", 2, true, func(b *Broker) []byte { return append(frame(wait(b), 1), frame(list(b, 2), 2)...) }),
		several("half-closed inside a request", 1, true, func(b *Broker) []byte { return append(frame(list(b, 1), 1), frame(list(b, 2), 2)[:9]...) }),
		several("pipelined: answers in order", 3, false, func(b *Broker) []byte {
			return append(append(frame(wait(b), 1), frame(list(b, 1), 2)...), frame(fetch(b, 11, "f", fetchPart(0, 0)), 3)...)
		}),
		several("pipelined: answers before an unknown version", 1, false, func(b *Broker) []byte {
			return append(frame(list(b, 1), 1), sized(append(header(2, 99, 7, ptr("c"), false), 0, 0, 0, 0))...)
		}),
		several("pipelined: a waiting fetch before an unknown version", 1, false, func(b *Broker) []byte {
			return append(frame(wait(b), 1), sized(append(header(2, 99, 7, ptr("c"), false), 0, 0, 0, 0))...)
		}),
	}
}
