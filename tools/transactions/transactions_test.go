package transactions

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/kclient"
)

// fake is a cluster with what a test puts there.
type fake struct {
	txns    []transaction
	prods   []producer
	tps     []kclient.TopicPartition
	err     error
	asked   []int32 // brokers
	aborted []producer
}

func (f *fake) transactions(_ context.Context, producers []int64) ([]transaction, error) {
	var out []transaction
	for _, t := range f.txns {
		if producers == nil || slices.Contains(producers, t.producer) {
			out = append(out, t)
		}
	}
	return out, f.err
}

func (f *fake) describe(_ context.Context, id string) (transaction, error) {
	for _, t := range f.txns {
		if t.id == id && t.state != "gone" {
			return t, f.err
		}
	}
	return transaction{}, errors.Join(errNoTransaction, kclient.Error(kerr.TransactionalIDNotFound.Code, nil))
}

func (f *fake) partitions(_ context.Context, topic string, _ int32) (out []kclient.TopicPartition, err error) {
	for _, tp := range f.tps {
		if topic == "" || tp.Topic == topic {
			out = append(out, tp)
		}
	}
	return out, f.err
}

func (f *fake) producers(_ context.Context, tps []kclient.TopicPartition, broker int32) (out []producer, err error) {
	f.asked = append(f.asked, broker)
	for _, p := range f.prods {
		if slices.Contains(tps, p.TopicPartition) {
			out = append(out, p)
		}
	}
	return out, f.err
}

func (f *fake) abort(_ context.Context, p producer) error {
	f.aborted = append(f.aborted, p)
	return f.err
}

const now = 100 * 60_000 // a hundred minutes

func do(t *testing.T, f *fake, line string) (out, errs string, code int) {
	t.Helper()
	words := strings.Fields(line)
	a := find(words[0])
	flags, err := (&argparse.Parser{Args: a.args}).Parse(words[1:])
	if err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(a, &command{flags: flags, cluster: f, now: func() time.Time { return time.UnixMilli(now) }}, &o, &e)
	return o.String(), e.String(), code
}

func example() *fake {
	tp := func(topic string, p int32) kclient.TopicPartition {
		return kclient.TopicPartition{Topic: topic, Partition: p}
	}
	return &fake{
		txns: []transaction{
			{id: "pay", coordinator: 1, producer: 7, epoch: 2, state: "Ongoing", timeout: 60000, start: now - 5000, partitions: []kclient.TopicPartition{tp("t", 0), tp("t", 1)}},
			{id: "done", coordinator: 2, producer: 8, state: "CompleteCommit", timeout: 60000, start: -1},
			{id: "lost", coordinator: 2, producer: 9, state: "gone", start: -1},
		},
		tps: []kclient.TopicPartition{tp("t", 0), tp("t", 1), tp("u", 0)},
		prods: []producer{
			{tp("t", 0), 7, 2, 3, 41, now - 60*60_000, 10},  // its coordinator will end it
			{tp("u", 0), 7, 2, -1, 5, now - 60*60_000, 11},  // its coordinator does not know of this partition
			{tp("t", 1), 9, 1, 4, 6, now - 16*60_000, 12},   // described no more
			{tp("t", 1), 10, 0, -1, 7, now - 20*60_000, 13}, // nobody knows it
			{tp("t", 1), 11, 0, 1, 8, now - 20*60_000, -1},  // nothing is open
			{tp("t", 1), 12, 0, 1, 8, now - 14*60_000, 15},  // too young
		},
	}
}

func TestTablesAreKafkas(t *testing.T) {
	for line, want := range map[string]string{
		"list": `TransactionalId	Coordinator	ProducerId	TransactionState	
pay            	1          	7         	Ongoing         	
done           	2          	8         	CompleteCommit  	
lost           	2          	9         	gone            	
`,
		"describe --transactional-id pay": `CoordinatorId	TransactionalId	ProducerId	ProducerEpoch	TransactionState	TransactionTimeoutMs	CurrentTransactionStartTimeMs	TransactionDurationMs	TopicPartitions	
1            	pay            	7         	2            	Ongoing         	60000               	5995000                      	5000                 	t-0,t-1        	
`,
		"describe --transactional-id done": `CoordinatorId	TransactionalId	ProducerId	ProducerEpoch	TransactionState	TransactionTimeoutMs	CurrentTransactionStartTimeMs	TransactionDurationMs	TopicPartitions	
2            	done           	8         	0            	CompleteCommit  	60000               	None                         	None                 	               	
`,
		"describe-producers --topic t --partition 0 --broker-id 3": `ProducerId	ProducerEpoch	LatestCoordinatorEpoch	LastSequence	LastTimestamp	CurrentTransactionStartOffset	
7         	2            	3                     	41          	2400000      	10                           	
`,
		"find-hanging --broker-id 1": `Topic	Partition	ProducerId	ProducerEpoch	CoordinatorEpoch	StartOffset	LastTimestamp	Duration(min)	
t    	1        	9         	1            	4               	12         	5040000      	16           	
t    	1        	10        	0            	-1              	13         	4800000      	20           	
u    	0        	7         	2            	-1              	11         	2400000      	60           	
`,
		"find-hanging --topic t --partition 0": `Topic	Partition	ProducerId	ProducerEpoch	CoordinatorEpoch	StartOffset	LastTimestamp	Duration(min)	
`,
	} {
		if out, errs, code := do(t, example(), line); out != want || code != 0 {
			t.Errorf("%s: exit %d, %s\n%s\nwant\n%s", line, code, errs, out, want)
		}
	}
}

func TestOnlyTheNamedTransactionIsAborted(t *testing.T) {
	for line, want := range map[string]string{
		"abort --topic t --partition 1 --start-offset 12":                                         "9 1 4",
		"abort --topic t --partition 1 --start-offset 13":                                         "10 0 0",
		"abort --topic u --partition 0 --producer-id 7 --producer-epoch 2 --coordinator-epoch -1": "7 2 0",
		"abort --topic t --partition 1 --start-offset -1":                                         "Could not find any open transactions starting at offset -1 on partition t-1",
		"abort --topic t --partition 1 --start-offset 99":                                         "Could not find any open transactions starting at offset 99 on partition t-1",
		"abort --topic t --partition 1":                                                           "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) or with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)",
		"abort --topic t --partition 1 --producer-id 7":                                           "Missing required argument --producer-epoch",
		"abort --topic t --partition 1 --producer-id 7 --producer-epoch 1":                        "Missing required argument --coordinator-epoch",
		"find-hanging": "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search",
		"find-hanging --broker-id 1 --partition 3": "The --partition argument requires --topic to be provided",
	} {
		f := example()
		_, errs, code := do(t, f, line)
		got := strings.TrimSpace(errs)
		if len(f.aborted) == 1 {
			p := f.aborted[0]
			got = number(p.id) + " " + number(p.epoch) + " " + number(p.coordinatorEpoch)
		}
		if got != want || (code == 0) != (len(f.aborted) == 1) {
			t.Errorf("%s: exit %d, %s, want %s", line, code, got, want)
		}
	}
}

// What the class of Kafka 3.0 says of each answer.
func TestWhyAMarkerWasNotWritten(t *testing.T) {
	for code, want := range map[*kerr.Error]string{
		kerr.InvalidProducerEpoch:         "WriteTxnMarkers request with SPEC failed due an invalid producer epoch",
		kerr.TransactionCoordinatorFenced: "WriteTxnMarkers request with SPEC failed since the provided coordinator epoch 4 has been fenced by the active coordinator",
		kerr.CorruptMessage: "WriteTxnMarkers request with SPEC failed due to unexpected error: This message has failed its CRC checksum, " +
			"exceeds the valid size, has a null key for a compacted topic, or is otherwise corrupt.",
		kerr.LeaderNotAvailable: kclient.Error(kerr.LeaderNotAvailable.Code, nil).Error(),
	} {
		if got := refused(kclient.Error(code.Code, nil), "SPEC", 4).Error(); got != want {
			t.Errorf("%v: %s, want %s", code, got, want)
		}
	}
}

func TestFailuresSayWhatWasAsked(t *testing.T) {
	why := kclient.Error(kerr.ClusterAuthorizationFailed.Code, nil)
	for line, want := range map[string]string{
		"list":                            "Failed to list transactions: ",
		"describe --transactional-id pay": "Failed to describe transaction state of transactional-id `pay`: DescribeTransactions request for transactionalId `pay` failed due to unexpected error\ngregor: the answer was: ",
		"describe-producers --topic t --partition 0":      "Failed to describe producers for partition t-0 on leader: ",
		"abort --topic t --partition 1 --start-offset 12": "Failed to validate producer state for partition t-1: ",
		"find-hanging --topic t --partition 1":            "Failed to describe producers for 1 partitions on the leaders: ",
	} {
		f := example()
		f.err = why
		out, errs, code := do(t, f, line)
		if code != 1 || out != "" || !strings.HasPrefix(errs, want+"Cluster authorization failed") {
			t.Errorf("%s: exit %d, %q", line, code, errs)
		}
	}
	if _, errs, _ := do(t, example(), "describe --transactional-id none"); !strings.Contains(errs, "`none`: DescribeTransactions request for transactionalId `none` failed because the ID could not be found\n") {
		t.Error(errs)
	}
}

func TestWordsAreSplitAtTheCommand(t *testing.T) {
	for line, want := range map[string]int{
		"list": 0, "--bootstrap-server a:1 list": 2, "--bootstrap-server=a:1 list --x": 1, "--boot a:1 --command-config f describe": 4, "-v": 1, "": 0,
	} {
		if got := commandAt(strings.Fields(line)); got != want {
			t.Errorf("%s: %d, want %d", line, got, want)
		}
	}
	var out, errs bytes.Buffer
	for line, want := range map[string]string{
		"": "argument --bootstrap-server is required", "--bootstrap-server a:1": "too few arguments",
		"--bootstrap-server a:1 dance":                        "invalid choice: 'dance' (choose from 'list', 'describe', 'describe-producers', 'abort', 'find-hanging')",
		"--bootstrap-server a:1 abort --producer-epoch 70000": `kafka-transactions.sh: error: argument --producer-epoch: could not convert '70000' to Short (Value out of range. Value:"70000" Radix:10)`,
		"--bootstrap-server a:1 abort":                        "argument --topic is required", "--bootstrap-server a:1 list --all": "unrecognized arguments: '--all'",
	} {
		errs.Reset()
		if code := Main(strings.Fields(line), nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %q, want %q", line, code, errs.String(), want)
		}
	}
	if code := Main([]string{"-v"}, nil, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "2.7.2 ") {
		t.Errorf("-v: exit %d, %q", code, out.String())
	}
}
