package coordrecords

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
)

var keys = flag.Bool("keys", false, "write testdata/keys.tsv, the input of testdata/Record.java, anew")

type sample struct {
	name       string
	key, value []byte
}

func offsetKey(version int16, group, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: version, Group: group, Topic: topic, Partition: partition}
	return k.AppendTo(nil)
}

func groupKeyOf(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: 2, Group: group}
	return k.AppendTo(nil)
}

func txnKeyOf(id string) []byte {
	k := kmsg.TxnMetadataKey{TransactionalID: id}
	return k.AppendTo(nil)
}

func assignmentOf(version int16, userData []byte, topics ...string) []byte {
	a := kmsg.ConsumerMemberAssignment{Version: version, UserData: userData}
	for i, t := range topics {
		a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t, Partitions: []int32{int32(i), 7}})
	}
	return a.AppendTo(nil)
}

func ptr(s string) *string { return &s }

func groupOf(version int16, protocolType string, members ...kmsg.GroupMetadataValueMember) []byte {
	v := kmsg.GroupMetadataValue{Version: version, ProtocolType: protocolType, Generation: 5, CurrentStateTimestamp: 1600000000000, Members: members}
	if len(members) > 0 {
		v.Protocol, v.Leader = ptr("range"), &members[0].MemberID
	}
	return v.AppendTo(nil)
}

func memberOf(id string, assignment []byte) kmsg.GroupMetadataValueMember {
	sub := kmsg.ConsumerMemberMetadata{Topics: []string{"a", "b"}}
	return kmsg.GroupMetadataValueMember{MemberID: id, ClientID: "client", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 300000,
		SessionTimeoutMillis: 10000, Subscription: sub.AppendTo(nil), Assignment: assignment}
}

func samples() []sample {
	var out []sample
	add := func(name string, key, value []byte) { out = append(out, sample{name, key, value}) }
	for v := range int16(5) {
		val := kmsg.OffsetCommitValue{Version: v, Offset: 42, LeaderEpoch: 3, Metadata: "said \"ä\"", CommitTimestamp: 1600000000000, ExpireTimestamp: 1600000000001}
		add(fmt.Sprintf("offset value version %d", v), offsetKey(v&1, "grüppe", "topic", 3), val.AppendTo(nil))
	}
	plain := kmsg.OffsetCommitValue{Version: 3, Offset: 1 << 40, LeaderEpoch: -1, CommitTimestamp: 1}
	add("offset without epoch and metadata", offsetKey(1, "g", "t", 0), plain.AppendTo(nil))
	unexpiring := kmsg.OffsetCommitValue{Version: 1, Offset: 1, CommitTimestamp: 1, ExpireTimestamp: -1}
	add("offset that does not expire", offsetKey(0, "g", "t", 0), unexpiring.AppendTo(nil))
	add("offset deleted", offsetKey(1, "g", "t", 0), nil)
	add("offset with more behind it", append(offsetKey(1, "g", "t", 0), 1, 2), append(plain.AppendTo(nil), 3))
	add("offset not UTF-8", offsetKey(1, "g\xff", "t\xe2\x82", 0), plain.AppendTo(nil))
	add("offset key cut short", offsetKey(1, "g", "t", 0)[:7], nil)
	add("offset value cut short", offsetKey(1, "g", "t", 0), plain.AppendTo(nil)[:9])
	add("offset value empty", offsetKey(1, "g", "t", 0), []byte{})
	add("key of version 3", []byte{0, 3, 0, 1, 'g'}, nil)
	add("key of version -1", []byte{255, 255, 0, 1, 'g'}, nil)
	add("key of one byte", []byte{0}, nil)
	add("key empty", []byte{}, nil)
	add("key missing", nil, plain.AppendTo(nil))

	two := []kmsg.GroupMetadataValueMember{memberOf("client-1", assignmentOf(0, nil, "a", "b")), memberOf("client-2", assignmentOf(1, []byte{0, 0, 10, 171}, "c"))}
	two[1].InstanceID = ptr("instance")
	for v := range int16(5) {
		add(fmt.Sprintf("group value version %d", v), groupKeyOf("group"), groupOf(v, "consumer", two...))
		add(fmt.Sprintf("group value version %d, empty", v), groupKeyOf("group"), groupOf(v, ""))
	}
	add("group value version -1", groupKeyOf("group"), append([]byte{255, 255}, groupOf(0, "consumer")[2:]...))
	add("group empty of consumers", groupKeyOf("g"), groupOf(3, "consumer"))
	add("group deleted", groupKeyOf("g"), nil)
	add("group of connect workers", groupKeyOf("g"), groupOf(3, "connect", memberOf("m\n1", []byte{0, 1, 0xab}), memberOf("m2", nil), memberOf("m3", []byte{0, 0})))
	add("group of no protocol type", groupKeyOf("g"), groupOf(3, "", memberOf("m", nil)))
	add("group with no assignment", groupKeyOf("g"), groupOf(3, "consumer", memberOf("m", []byte{})))
	add("group with a cut assignment", groupKeyOf("g"), groupOf(3, "consumer", memberOf("m", two[0].Assignment[:9])))
	add("group with a new assignment", groupKeyOf("g"), groupOf(3, "consumer", memberOf("m", assignmentOf(9, []byte{0}, "t"))))
	add("group with assignment version -1", groupKeyOf("g"), groupOf(3, "consumer", memberOf("m", assignmentOf(-1, nil, "t"))))
	var many []kmsg.GroupMetadataValueMember
	for i := range 30 {
		many = append(many, memberOf(fmt.Sprintf("consumer-é-%d-6c0e", i*i), assignmentOf(0, nil, "t")))
	}
	add("group of many", groupKeyOf("g"), groupOf(3, "consumer", many...))
	add("group cut short", groupKeyOf("g"), groupOf(3, "consumer", two...)[:60])

	for s := range int8(9) {
		v := kmsg.TxnMetadataValue{ProducerID: 1 << 33, ProducerEpoch: 4, TimeoutMillis: 60000, State: kmsg.TransactionState(s), LastUpdateTimestamp: 12, StartTimestamp: 11,
			Topics: []kmsg.TxnMetadataValueTopic{{Topic: "a", Partitions: []int32{2, 0, 1, 0}}, {Topic: "bä", Partitions: []int32{5}}}}
		add(fmt.Sprintf("txn in state %d", s), txnKeyOf("transacté"), v.AppendTo(nil))
	}
	v := kmsg.TxnMetadataValue{ProducerID: 1, State: 1, LastUpdateTimestamp: 12, StartTimestamp: 11}
	add("txn with null partitions", txnKeyOf("t"), v.AppendTo(nil))
	v.State = 0
	add("txn empty with null partitions", txnKeyOf("t"), v.AppendTo(nil))
	v.State, v.Topics = 2, []kmsg.TxnMetadataValueTopic{}
	add("txn with no partitions", txnKeyOf("t"), v.AppendTo(nil))
	for i := range 18 {
		t := kmsg.TxnMetadataValueTopic{Topic: fmt.Sprintf("orders-%d", i)}
		for p := range int32(4) {
			t.Partitions = append(t.Partitions, p*7)
		}
		v.Topics = append(v.Topics, t)
	}
	add("txn with many partitions", txnKeyOf("t"), v.AppendTo(nil))
	add("txn cut short", txnKeyOf("t"), v.AppendTo(nil)[:60])
	add("txn deleted", txnKeyOf("t"), nil)
	v.Version = 1
	add("txn value version 1", txnKeyOf("t"), v.AppendTo(nil))
	add("txn key version 1", []byte{0, 1, 0, 1, 'g'}, nil)
	add("txn key missing", nil, nil)
	add("txn key cut short", []byte{0, 0, 0, 9, 'g'}, nil)
	return out
}

func dumped(k, v string, err error) string {
	if err != nil {
		return failed(err)
	}
	return k + " " + v
}

func formatted(line string, ok bool, err error) string {
	if err != nil {
		return failed(err)
	}
	if !ok {
		return "nothing"
	}
	return strings.ReplaceAll(line, "\n", "")
}

func failed(err error) string {
	var api *kclient.APIError
	if !errors.As(err, &api) {
		return "no class: " + err.Error()
	}
	return "! " + api.Class
}

// testdata/expected.txt is what Apache Kafka 2.7.2 printed (testdata/Record.java); of an exception only the class counts.
func TestTextIsThatOfApacheKafka(t *testing.T) {
	if *keys {
		writeKeys(t)
	}
	b, err := os.ReadFile("testdata/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, part := range strings.Split("\n"+string(b), "\n# ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		want[name] = strings.TrimSuffix(text, "\n")
	}
	for _, s := range samples() {
		var got []string
		if strings.HasPrefix(s.name, "txn") {
			got = append(got, dumped(DumpTransaction(s.key, s.value)), formatted(FormatTransaction(s.key, s.value)))
		} else {
			got = append(got, dumped(DumpOffsets(s.key, s.value)), formatted(FormatOffset(s.key, s.value)), formatted(FormatGroup(s.key, s.value)))
		}
		if g := strings.Join(got, "\n"); g != want[s.name] {
			t.Errorf("%s:\n%s\nwant\n%s", s.name, g, want[s.name])
		}
	}
}

func writeKeys(t *testing.T) {
	t.Helper()
	word := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return hex.EncodeToString(b)
	}
	var out strings.Builder
	for _, s := range samples() {
		fmt.Fprintf(&out, "%s\t%s\t%s\n", s.name, word(s.key), word(s.value))
	}
	if err := os.WriteFile("testdata/keys.tsv", []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecoders(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.key, s.value)
	}
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		DumpOffsets(key, value) // it must not panic
		DumpTransaction(key, value)
		FormatOffset(key, value)
		FormatGroup(key, value)
		FormatTransaction(key, value)
	})
}
