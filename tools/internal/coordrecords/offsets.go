package coordrecords

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/jvm"
)

// deleted stands for the value of a tombstone in a dump, null in what a formatter prints.
const (
	deleted = "<DELETE>"
	null    = "NULL"
)

// DumpOffsets gives the key and the value of a record of __consumer_offsets as `kafka-dump-log.sh --offsets-decoder` prints them. Nil is
// null. Its errors carry the class of Kafka's exception (*kclient.APIError).
func DumpOffsets(recordKey, recordValue []byte) (k, v string, err error) {
	if recordKey == nil {
		return "", "", kafkaError("Failed to decode message using offset topic decoder (message had a missing key)")
	}
	offset, group, err := key(recordKey)
	switch {
	case err != nil:
		return "", "", err
	case group != nil:
		v, err = dumpGroup(recordValue)
		return "group_metadata::group=" + text(group.Group), v, err
	}
	k = fmt.Sprintf("offset_commit::group=%s,partition=%s-%d", text(offset.Group), text(offset.Topic), offset.Partition)
	if recordValue == nil {
		return k, deleted, nil
	}
	var val kmsg.OffsetCommitValue
	if err := decode(&val, recordValue, maxOffsetValue, offsetValue); err != nil {
		return "", "", err
	}
	v = "offset=" + strconv.FormatInt(val.Offset, 10)
	if val.Metadata != "" {
		v += ",metadata=" + text(val.Metadata)
	}
	return k, v, nil
}

func dumpGroup(recordValue []byte) (string, error) {
	if recordValue == nil {
		return deleted, nil
	}
	var v kmsg.GroupMetadataValue
	if err := decode(&v, recordValue, maxGroupValue, groupValue); err != nil {
		return "", err
	}
	var members []string
	for _, m := range inOrder(v.Members) {
		a, err := assigned(v.ProtocolType, m.Assignment)
		if err != nil {
			return "", err
		}
		members = append(members, text(m.MemberID)+"="+a)
	}
	b := jvm.AppendJSON([]byte(`{"protocolType":`), text(v.ProtocolType))
	b = append(b, `,"protocol":`...)
	if v.Protocol == nil {
		b = append(b, "null"...)
	} else {
		b = jvm.AppendJSON(b, text(*v.Protocol))
	}
	b = strconv.AppendInt(append(b, `,"generationId":`...), int64(v.Generation), 10)
	b = jvm.AppendJSON(append(b, `,"assignment":`...), "{"+strings.Join(members, ",")+"}")
	return string(append(b, '}')), nil
}

// inOrder sorts members as the hash table of Kafka's group holds them; of two with the same id the latter stays.
func inOrder(members []kmsg.GroupMetadataValueMember) []kmsg.GroupMetadataValueMember {
	at := make(map[string]int, len(members))
	out := make([]kmsg.GroupMetadataValueMember, 0, len(members))
	for i := range members {
		id := members[i].MemberID
		if j, ok := at[id]; ok {
			out[j] = members[i]
			continue
		}
		at[id] = len(out)
		out = append(out, members[i])
	}
	jvm.ScalaOrder(out, func(m kmsg.GroupMetadataValueMember) int32 { return jvm.StringHash(text(m.MemberID)) })
	return out
}

func assigned(protocolType string, b []byte) (string, error) {
	if protocolType != "consumer" {
		return number(b), nil
	}
	a, err := consumerAssignment(b)
	if err != nil {
		return "", err
	}
	var tps []string
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			tps = append(tps, text(t.Topic)+"-"+strconv.Itoa(int(p)))
		}
	}
	s := "[" + strings.Join(tps, ", ") + "]"
	if u := number(a.UserData); u != "" {
		s += ":" + u
	}
	return s, nil
}

// number writes bytes as one large number.
func number(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("%X", new(big.Int).SetBytes(b))
}

// FormatOffset gives the line, without its end, that kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter prints for a
// record of __consumer_offsets; none (ok false) for what is not a committed offset.
func FormatOffset(recordKey, recordValue []byte) (line string, ok bool, err error) {
	if recordKey == nil {
		return "", false, nil
	}
	k, _, err := key(recordKey)
	if err != nil || k == nil {
		return "", false, err
	}
	line = fmt.Sprintf("[%s,%s,%d]::", text(k.Group), text(k.Topic), k.Partition)
	if recordValue == nil {
		return line + null, true, nil
	}
	var v kmsg.OffsetCommitValue
	if err := decode(&v, recordValue, maxOffsetValue, offsetValue); err != nil {
		return "", false, err
	}
	epoch, expire := "Optional.empty", "None"
	if v.Version >= 3 && v.LeaderEpoch >= 0 {
		epoch = fmt.Sprintf("Optional[%d]", v.LeaderEpoch)
	}
	if v.Version == 1 && v.ExpireTimestamp != -1 {
		expire = fmt.Sprintf("Some(%d)", v.ExpireTimestamp)
	}
	return line + fmt.Sprintf("OffsetAndMetadata(offset=%d, leaderEpoch=%s, metadata=%s, commitTimestamp=%d, expireTimestamp=%s)",
		v.Offset, epoch, text(v.Metadata), v.CommitTimestamp, expire), true, nil
}

// FormatGroup is the same for kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter, which prints groups only.
func FormatGroup(recordKey, recordValue []byte) (line string, ok bool, err error) {
	if recordKey == nil {
		return "", false, nil
	}
	_, k, err := key(recordKey)
	if err != nil || k == nil {
		return "", false, err
	}
	line = text(k.Group) + "::"
	if recordValue == nil {
		return line + null, true, nil
	}
	var v kmsg.GroupMetadataValue
	if err := decode(&v, recordValue, maxGroupValue, groupValue); err != nil {
		return "", false, err
	}
	state, protocolType, protocol := "Stable", "Some("+text(v.ProtocolType)+")", "null"
	if len(v.Members) == 0 {
		state = "Empty"
		if v.ProtocolType == "" {
			protocolType = "None"
		}
	}
	if v.Protocol != nil {
		protocol = text(*v.Protocol)
	}
	var members []string
	for _, m := range inOrder(v.Members) {
		members = append(members, text(m.MemberID)+" -> "+member(&m, v.Version, protocol))
	}
	return line + fmt.Sprintf("GroupMetadata(groupId=%s, generation=%d, protocolType=%s, currentState=%s, members=HashMap(%s))",
		text(k.Group), v.Generation, protocolType, state, strings.Join(members, ", ")), true, nil
}

func member(m *kmsg.GroupMetadataValueMember, version int16, protocol string) string {
	instance := "None"
	if version >= 3 {
		instance = "Some(null)"
		if m.InstanceID != nil {
			instance = "Some(" + text(*m.InstanceID) + ")"
		}
	}
	rebalance := m.RebalanceTimeoutMillis
	if version == 0 {
		rebalance = m.SessionTimeoutMillis
	}
	return fmt.Sprintf("MemberMetadata(memberId=%s, groupInstanceId=%s, clientId=%s, clientHost=%s, sessionTimeoutMs=%d, rebalanceTimeoutMs=%d, supportedProtocols=List(%s), )",
		text(m.MemberID), instance, text(m.ClientID), text(m.ClientHost), m.SessionTimeoutMillis, rebalance, protocol)
}
