package transactions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/tools/internal/argparse"
	"gregor/tools/internal/kclient"
)

func number[N int | int16 | int32 | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// orNone shows a number that is -1 when there is none.
func orNone(n int64) string {
	if n < 0 {
		return "None"
	}
	return number(n)
}

func (c *command) list(ctx context.Context) error {
	found, err := c.cluster.transactions(ctx, nil)
	if err != nil {
		return failed(err, "Failed to list transactions")
	}
	var rows [][]string
	for _, t := range found {
		rows = append(rows, []string{t.id, number(t.coordinator), number(t.producer), t.state})
	}
	c.table([]string{"TransactionalId", "Coordinator", "ProducerId", "TransactionState"}, rows)
	return nil
}

func (c *command) describe(ctx context.Context) error {
	id := c.flags.String("--transactional-id")
	t, err := c.cluster.describe(ctx, id)
	if err != nil {
		asked := fmt.Sprintf("DescribeTransactions request for transactionalId `%s` failed ", id)
		switch {
		case errors.Is(err, errNoTransaction):
			err = errors.New(asked + "because the ID could not be found")
		case answered(err, 0):
			err = errors.New(asked + "due to unexpected error\ngregor: the answer was: " + reason(err))
		}
		return failed(err, "Failed to describe transaction state of transactional-id `%s`", id)
	}
	since, lasts := orNone(t.start), "None"
	if t.start >= 0 {
		lasts = number(c.now().UnixMilli() - t.start)
	}
	c.table([]string{"CoordinatorId", "TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState", "TransactionTimeoutMs",
		"CurrentTransactionStartTimeMs", "TransactionDurationMs", "TopicPartitions"}, [][]string{{number(t.coordinator), id, number(t.producer),
		number(t.epoch), t.state, number(t.timeout), since, lasts, kclient.JoinPartitions(t.partitions, ",")}})
	return nil
}

// partition is what --topic and --partition name.
func (c *command) partition() kclient.TopicPartition {
	return kclient.TopicPartition{Topic: c.flags.String("--topic"), Partition: int32(c.flags.Int("--partition"))}
}

// noBroker asks the leader.
const noBroker int32 = -1

func (c *command) broker() int32 {
	if c.flags.Has("--broker-id") {
		return int32(c.flags.Int("--broker-id"))
	}
	return noBroker
}

func (c *command) describeProducers(ctx context.Context) error {
	tp, broker := c.partition(), c.broker()
	found, err := c.cluster.producers(ctx, []kclient.TopicPartition{tp}, broker)
	if err != nil {
		where := "leader"
		if broker != noBroker {
			where = "broker " + number(broker)
		}
		return failed(err, "Failed to describe producers for partition %s on %s", tp, where)
	}
	var rows [][]string
	for _, p := range found {
		rows = append(rows, []string{number(p.id), number(p.epoch), number(p.coordinatorEpoch), number(p.lastSequence), number(p.lastTimestamp), orNone(p.start)})
	}
	c.table([]string{"ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence", "LastTimestamp", "CurrentTransactionStartOffset"}, rows)
	return nil
}

func (c *command) abort(ctx context.Context) error {
	tp := c.partition()
	if !c.flags.Has("--start-offset") && !c.flags.Has("--producer-id") {
		return errors.New("The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) or with " + //nolint:revive,staticcheck // Kafka's words
			"--producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)")
	}
	p := producer{TopicPartition: tp, id: c.flags.Int("--producer-id"), epoch: int32(c.flags.Int("--producer-epoch")), coordinatorEpoch: int32(c.flags.Int("--coordinator-epoch"))}
	if c.flags.Has("--start-offset") {
		start := c.flags.Int("--start-offset")
		found, err := c.cluster.producers(ctx, []kclient.TopicPartition{tp}, noBroker)
		if err != nil {
			return failed(err, "Failed to validate producer state for partition %s", tp)
		}
		i := slices.IndexFunc(found, func(p producer) bool { return p.start >= 0 && p.start == start })
		if i < 0 {
			return argparse.Errorf("Could not find any open transactions starting at offset %d on partition %s", start, tp)
		}
		p = found[i]
	} else {
		for _, name := range []string{"--producer-epoch", "--coordinator-epoch"} {
			if !c.flags.Has(name) {
				return argparse.Errorf("Missing required argument %s", name)
			}
		}
	}
	// A producer whose first transaction hangs has seen no coordinator: 0 is not newer than any.
	p.coordinatorEpoch = max(p.coordinatorEpoch, 0)
	if err := c.cluster.abort(ctx, p); err != nil {
		spec := fmt.Sprintf("AbortTransactionSpec(topicPartition=%s, producerId=%d, producerEpoch=%d, coordinatorEpoch=%d)", tp, p.id, p.epoch, p.coordinatorEpoch)
		return failed(refused(err, spec, p.coordinatorEpoch), "Failed to abort transaction %s", spec)
	}
	return nil
}

// refused says why a broker did not write a marker.
func refused(err error, spec string, coordinatorEpoch int32) error {
	why := ""
	switch {
	case answered(err, kerr.InvalidProducerEpoch.Code):
		why = "due an invalid producer epoch" // as Kafka's has it
	case answered(err, kerr.TransactionCoordinatorFenced.Code):
		why = fmt.Sprintf("since the provided coordinator epoch %d has been fenced by the active coordinator", coordinatorEpoch)
	case answered(err, 0) && !answered(err, kerr.LeaderNotAvailable.Code): // that is no leader to ask
		why = "due to unexpected error: " + reason(err)
	default:
		return err
	}
	return fmt.Errorf("WriteTxnMarkers request with %s failed %s", spec, why)
}

func (c *command) findHanging(ctx context.Context) error {
	topic, broker := c.flags.String("--topic"), c.broker()
	if topic == "" && broker == noBroker {
		return errors.New("The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search") //nolint:revive,staticcheck // Kafka's words
	}
	if c.flags.Has("--partition") && topic == "" {
		return errors.New("The --partition argument requires --topic to be provided") //nolint:revive,staticcheck // Kafka's words
	}
	tps := []kclient.TopicPartition{c.partition()}
	if !c.flags.Has("--partition") {
		var err error
		if tps, err = c.cluster.partitions(ctx, topic, broker); err != nil {
			return err
		}
	}
	old, err := c.candidates(ctx, tps, broker)
	if err != nil {
		return err
	}
	hanging, err := c.hanging(ctx, old)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range hanging {
		minutes := (c.now().UnixMilli() - p.lastTimestamp) / 60_000
		rows = append(rows, []string{p.Topic, number(p.Partition), number(p.id), number(p.epoch), number(p.coordinatorEpoch), number(p.start),
			number(p.lastTimestamp), number(minutes)})
	}
	c.table([]string{"Topic", "Partition", "ProducerId", "ProducerEpoch", "CoordinatorEpoch", "StartOffset", "LastTimestamp", "Duration(min)"}, rows)
	return nil
}

// atOnce is how many partitions are asked about in one request.
const atOnce = 500

// candidates are producers with a transaction that is open for longer than any may be.
func (c *command) candidates(ctx context.Context, tps []kclient.TopicPartition, broker int32) ([]producer, error) {
	limit := c.flags.Int("--max-transaction-timeout") * 60_000
	var old []producer
	for batch := range slices.Chunk(tps, atOnce) {
		found, err := c.cluster.producers(ctx, batch, broker)
		if err != nil {
			where := "the leaders"
			if broker != noBroker {
				where = "broker " + number(broker)
			}
			return nil, failed(err, "Failed to describe producers for %d partitions on %s", len(batch), where)
		}
		now := c.now().UnixMilli()
		for _, p := range found {
			if p.start >= 0 && now-p.lastTimestamp > limit {
				old = append(old, p)
			}
		}
	}
	return old, nil
}

// hanging leaves out the transactions that a coordinator knows and will end.
func (c *command) hanging(ctx context.Context, old []producer) ([]producer, error) {
	if len(old) == 0 {
		return nil, nil
	}
	var ids []int64
	for _, p := range old {
		if !slices.Contains(ids, p.id) {
			ids = append(ids, p.id)
		}
	}
	known, err := c.cluster.transactions(ctx, ids)
	if err != nil {
		return nil, failed(err, "Failed to list transactions for %d producers", len(ids))
	}
	open := map[int64][]kclient.TopicPartition{}
	for _, t := range known {
		d, err := c.cluster.describe(ctx, t.id)
		if errors.Is(err, errNoTransaction) {
			continue
		}
		if err != nil {
			return nil, failed(err, "Failed to describe %d transactions", len(known))
		}
		open[t.producer] = append(open[t.producer], d.partitions...)
	}
	out := slices.DeleteFunc(slices.Clone(old), func(p producer) bool { return slices.Contains(open[p.id], p.TopicPartition) })
	slices.SortStableFunc(out, func(a, b producer) int {
		if n := strings.Compare(a.Topic, b.Topic); n != 0 {
			return n
		}
		return int(a.Partition) - int(b.Partition)
	})
	return out, nil
}
