package coordrecords

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/jvm"
	"gregor/tools/internal/kclient"
)

var states = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// transaction is a value of __transaction_state and what its text needs.
type transaction struct {
	kmsg.TxnMetadataValue

	state      string
	partitions []string
}

func transactionKey(recordKey []byte) (string, error) {
	var k kmsg.TxnMetadataKey
	if err := decode(&k, recordKey, maxTransactional, txnKey); err != nil {
		return "", err
	}
	return text(k.TransactionalID), nil
}

func transactionValue(recordValue []byte) (*transaction, error) {
	t := new(transaction)
	if err := decode(&t.TxnMetadataValue, recordValue, maxTransactional, txnValue); err != nil {
		return nil, err
	}
	if t.State < 0 || int(t.State) >= len(states) {
		return nil, &kclient.APIError{Class: "java.lang.IllegalStateException",
			Message: fmt.Sprintf("Unknown transaction state byte %d from the transaction status message", t.State)}
	}
	t.state = states[t.State]
	if t.State == 0 {
		return t, nil // whatever partitions stand there are not part of it
	}
	if t.Topics == nil {
		return nil, &kclient.APIError{Class: "java.lang.NullPointerException", Message: "state " + t.state + " without a list of partitions"}
	}
	t.partitions = partitions(t.Topics)
	return t, nil
}

// partitions lists them as the hash set of Kafka's transaction holds them. (Of more than four partitions of one topic Scala makes a
// different set first and keeps other hashes: there the order differs.)
func partitions(topics []kmsg.TxnMetadataValueTopic) []string {
	type tp struct {
		topic string
		part  int32
	}
	var all []tp
	seen := map[tp]bool{}
	for i := range topics {
		name := text(topics[i].Topic)
		for _, p := range topics[i].Partitions {
			if v := (tp{name, p}); !seen[v] {
				seen[v] = true
				all = append(all, v)
			}
		}
	}
	jvm.ScalaOrder(all, func(v tp) int32 { return 31*(31+v.part) + jvm.StringHash(v.topic) })
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.topic + "-" + strconv.Itoa(int(v.part))
	}
	return out
}

// DumpTransaction gives the key and the value of a record of __transaction_state as `kafka-dump-log.sh --transaction-log-decoder`
// prints them. Nil is null. Its errors carry the class of Kafka's exception (*kclient.APIError).
func DumpTransaction(recordKey, recordValue []byte) (k, v string, err error) {
	if recordKey == nil {
		return "", "", &kclient.APIError{Class: "java.lang.NullPointerException", Message: "a record of __transaction_state has no key"}
	}
	id, err := transactionKey(recordKey)
	if err != nil {
		return "", "", err
	}
	k = "transaction_metadata::transactionalId=" + id
	if recordValue == nil {
		return k, deleted, nil
	}
	t, err := transactionValue(recordValue)
	if err != nil {
		return "", "", err
	}
	return k, fmt.Sprintf("producerId:%d,producerEpoch:%d,state=%s,partitions=[%s],txnLastUpdateTimestamp=%d,txnTimeoutMs=%d",
		t.ProducerID, t.ProducerEpoch, t.state, strings.Join(t.partitions, ","), t.LastUpdateTimestamp, t.TimeoutMillis), nil
}

// FormatTransaction gives the line, without its end, that kafka.coordinator.transaction.TransactionLog$TransactionLogMessageFormatter
// prints for a record of __transaction_state; none (ok false) without a key.
func FormatTransaction(recordKey, recordValue []byte) (line string, ok bool, err error) {
	if recordKey == nil {
		return "", false, nil
	}
	id, err := transactionKey(recordKey)
	if err != nil {
		return "", false, err
	}
	if recordValue == nil {
		return id + "::" + null, true, nil
	}
	t, err := transactionValue(recordValue)
	if err != nil {
		return "", false, err
	}
	return fmt.Sprintf("%s::TransactionMetadata(transactionalId=%s, producerId=%d, producerEpoch=%d, txnTimeoutMs=%d, state=%s, "+
		"pendingState=None, topicPartitions=HashSet(%s), txnStartTimestamp=%d, txnLastUpdateTimestamp=%d)", id, id, t.ProducerID, t.ProducerEpoch,
		t.TimeoutMillis, t.state, strings.Join(t.partitions, ", "), t.StartTimestamp, t.LastUpdateTimestamp), true, nil
}
