package dumplog

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/javatext"
	"gregor/tools/internal/kclient"
	"gregor/wire/record"
)

// decoder appends a record's key and value.
type decoder func(b []byte, r *record.Record) ([]byte, error)

type fieldDecoder func(dst, b []byte) []byte

func (d *dumper) chooseDecoder(o *cli.Options) error {
	switch {
	case o.Has("offsets-decoder"):
		d.decode = offsetsDecoder
		return nil
	case o.Has("transaction-log-decoder"):
		d.decode = transactionDecoder
		return nil
	}
	value, err := newFieldDecoder(o.String("value-decoder-class"))
	if err != nil {
		return err
	}
	key, err := newFieldDecoder(o.String("key-decoder-class"))
	if err != nil {
		return err
	}
	d.decode = func(b []byte, r *record.Record) ([]byte, error) {
		if r.Key != nil {
			b = key(append(b, " key: "...), r.Key)
		}
		if r.Value != nil {
			b = value(append(b, " payload: "...), r.Value)
		}
		return b, nil
	}
	return nil
}

func newFieldDecoder(class string) (fieldDecoder, error) {
	switch class {
	case stringDecoder:
		return javatext.Append, nil
	case "kafka.serializer.DefaultDecoder":
		// Java prints the array's name; the bytes are what anyone who asks for them means.
		return func(dst, b []byte) []byte { return append(dst, b...) }, nil
	case "kafka.serializer.LongDecoder":
		return func(dst, b []byte) []byte {
			if len(b) != 8 {
				return append(dst, "Size of data received by LongDeserializer is not 8"...)
			}
			return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(b)), 10)
		}, nil
	case "kafka.serializer.IntegerDecoder":
		return func(dst, b []byte) []byte {
			if len(b) != 4 {
				return append(dst, "Size of data received by IntegerDeserializer is not 4"...)
			}
			return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(b))), 10)
		}, nil
	}
	return nil, &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: class}
}

func keyValue(b []byte, key, value string) []byte {
	b = append(append(b, " key: "...), key...)
	return append(append(b, " payload: "...), value...)
}

const deleted = "<DELETE>"

func undecodable(what string) error {
	return &kclient.APIError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to decode message using " + what}
}

func offsetsDecoder(b []byte, r *record.Record) ([]byte, error) {
	if len(r.Key) < 2 {
		return b, undecodable("offset topic decoder (message had a missing key)")
	}
	if version := binary.BigEndian.Uint16(r.Key); version >= 2 {
		return groupMetadata(b, r)
	}
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(r.Key); err != nil {
		return b, undecodable("offset topic decoder (message had an invalid key)")
	}
	value := deleted
	if r.Value != nil {
		var v kmsg.OffsetCommitValue
		if err := v.ReadFrom(r.Value); err != nil {
			return b, undecodable("offset topic decoder (message had an invalid value)")
		}
		value = "offset=" + strconv.FormatInt(v.Offset, 10)
		if v.Metadata != "" {
			value += ",metadata=" + v.Metadata
		}
	}
	return keyValue(b, fmt.Sprintf("offset_commit::group=%s,partition=%s-%d", k.Group, k.Topic, k.Partition), value), nil
}

func groupMetadata(b []byte, r *record.Record) ([]byte, error) {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(r.Key); err != nil {
		return b, undecodable("offset topic decoder (message had an invalid key)")
	}
	value := deleted
	if r.Value != nil {
		var v kmsg.GroupMetadataValue
		if err := v.ReadFrom(r.Value); err != nil {
			return b, undecodable("offset topic decoder (message had an invalid value)")
		}
		members := make([]string, len(v.Members))
		for i := range v.Members {
			members[i] = v.Members[i].MemberID + "=" + assignment(v.ProtocolType, v.Members[i].Assignment)
		}
		quote := func(s string) string {
			q, _ := json.Marshal(s) // strings always encode
			return string(q)
		}
		protocol := "null"
		if v.Protocol != nil {
			protocol = quote(*v.Protocol)
		}
		value = fmt.Sprintf(`{"protocolType":%s,"protocol":%s,"generationId":%d,"assignment":%s}`,
			quote(v.ProtocolType), protocol, v.Generation, quote("{"+strings.Join(members, ",")+"}"))
	}
	return keyValue(b, "group_metadata::group="+k.Group, value), nil
}

func assignment(protocolType string, b []byte) string {
	var a kmsg.ConsumerMemberAssignment
	if protocolType != "consumer" || a.ReadFrom(b) != nil {
		return hex(b)
	}
	var tps []string
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			tps = append(tps, t.Topic+"-"+strconv.Itoa(int(p)))
		}
	}
	s := "[" + strings.Join(tps, ", ") + "]"
	if u := hex(a.UserData); u != "" {
		s += ":" + u
	}
	return s
}

// hex writes bytes as one large number.
func hex(b []byte) string {
	s := strings.TrimLeft(fmt.Sprintf("%X", b), "0")
	if s == "" && len(b) > 0 {
		return "0"
	}
	return s
}

var transactionStates = map[kmsg.TransactionState]string{0: "Empty", 1: "Ongoing", 2: "PrepareCommit", 3: "PrepareAbort",
	4: "CompleteCommit", 5: "CompleteAbort", 6: "Dead", 7: "PrepareEpochFence"}

func transactionDecoder(b []byte, r *record.Record) ([]byte, error) {
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(r.Key); err != nil {
		return b, undecodable("transaction log decoder (message had an invalid key)")
	}
	value := deleted
	if r.Value != nil {
		var v kmsg.TxnMetadataValue
		if err := v.ReadFrom(r.Value); err != nil {
			return b, undecodable("transaction log decoder (message had an invalid value)")
		}
		var tps []string
		for _, t := range v.Topics {
			for _, p := range t.Partitions {
				tps = append(tps, t.Topic+"-"+strconv.Itoa(int(p)))
			}
		}
		value = fmt.Sprintf("producerId:%d,producerEpoch:%d,state=%s,partitions=[%s],txnLastUpdateTimestamp=%d,txnTimeoutMs=%d",
			v.ProducerID, v.ProducerEpoch, transactionStates[v.State], strings.Join(tps, ","), v.LastUpdateTimestamp, v.TimeoutMillis)
	}
	return keyValue(b, "transaction_metadata::transactionalId="+k.TransactionalID, value), nil
}
