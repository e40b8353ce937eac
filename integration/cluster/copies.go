package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Copies are workers of one group that consume a topic and write what they get to another one, in transactions that commit the group's offsets
// (KIP-447). Workers abort, stand still for longer than their session, and die. A reader of what was committed must find each input once, in
// order.
type Copies struct {
	*ledger
	c          *Cluster
	in, out    string
	partitions int32
	feeder     *feeder
	cancel     context.CancelFunc
	stopRead   context.CancelFunc
	workers    sync.WaitGroup
	reader     sync.WaitGroup
	closing    sync.WaitGroup

	Copied                  atomic.Int64   // as workers were told
	read                    []atomic.Int64 // by partition
	abandoned, stood, ended atomic.Int64
}

// CopyOptions says how much is copied by how many.
type CopyOptions struct {
	Workers   int
	PerSecond int // records that are written to be copied
	Seed      uint64
}

// StartCopies begins to write and to copy. The topics must have the same number of partitions.
func (c *Cluster) StartCopies(ctx context.Context, in, out string, partitions int32, o CopyOptions) (*Copies, error) {
	k := &Copies{ledger: newLedger(int(partitions)), c: c, in: in, out: out, partitions: partitions, read: make([]atomic.Int64, partitions)}
	all, stopRead := context.WithCancel(ctx)
	k.stopRead = stopRead
	work, cancel := context.WithCancel(all)
	k.cancel = cancel
	var err error
	if k.feeder, err = c.feed(all, k.ledger, in, partitions, o.PerSecond); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.ConsumeTopics(out), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond), kgo.ClientID("copy-reader"))...)
	if err != nil {
		return nil, err
	}
	k.reader.Go(func() { defer cl.Close(); k.follow(all, cl) })
	for i := range o.Workers {
		k.workers.Go(func() { k.worker(work, i, rand.New(rand.NewPCG(o.Seed, uint64(i)))) })
	}
	return k, nil
}

// follow checks that the copy of each partition is 0, 1, 2, ...
func (k *Copies) follow(ctx context.Context, cl *kgo.Client) {
	for {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fs.EachRecord(func(r *kgo.Record) {
			n, err := strconv.ParseInt(string(r.Value), 10, 64)
			if want := k.read[r.Partition].Load(); err != nil || n != want {
				k.problem("%s-%d offset %d: %q where %d was to come", k.out, r.Partition, r.Offset, r.Value, want)
			}
			k.read[r.Partition].Store(n + 1)
			k.advanced(int(r.Partition))
		})
	}
}

// worker works until it dies, and begins anew with the same transactional id.
func (k *Copies) worker(ctx context.Context, id int, r *rand.Rand) {
	for ctx.Err() == nil {
		network := newNetwork()
		s, err := kgo.NewGroupTransactSession(append(ClientOptions(), k.c.Seeds(), kgo.TransactionalID(fmt.Sprintf("%s-worker-%d", k.out, id)),
			kgo.TransactionTimeout(10*time.Second), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
			kgo.ConsumerGroup(k.in+"-copiers"), kgo.ConsumeTopics(k.in), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(250*time.Millisecond), kgo.Dialer(network.dial),
			kgo.RecordDeliveryTimeout(20*time.Second), kgo.ClientID("worker"))...)
		if err != nil {
			k.problem("worker %d: %v", id, err)
			return
		}
		k.work(ctx, s, network, r)
		k.ended.Add(1)
		k.closing.Go(func() {
			// A dead one cannot leave its group, and does not wait for it.
			if network.isDead() {
				leave, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = s.Client().LeaveGroupContext(leave)
			}
			s.Close()
		})
	}
}

func (n *network) isDead() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

// work copies until the context ends, the worker dies, or a transaction cannot be ended.
func (k *Copies) work(ctx context.Context, s *kgo.GroupTransactSession, network *network, r *rand.Rand) {
	for {
		fs := s.PollRecords(ctx, 50)
		if ctx.Err() != nil {
			return
		}
		if fs.NumRecords() == 0 {
			continue
		}
		if s.Begin() != nil {
			return
		}
		// An unfinished transaction is for the next worker of this id, or its time-out, to abort.
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		promise := kgo.AbortingFirstErrPromise(s.Client())
		fs.EachRecord(func(rec *kgo.Record) {
			s.Produce(within, &kgo.Record{Topic: k.out, Partition: rec.Partition, Value: rec.Value}, promise.Promise())
		})
		err := promise.Err()
		commit := kgo.TransactionEndTry(err == nil)
		switch r.IntN(60) {
		case 0, 1:
			commit = kgo.TryAbort
			k.abandoned.Add(1)
		case 2:
			network.freeze(ctx, 6*time.Second+time.Duration(r.IntN(3000))*time.Millisecond)
			k.stood.Add(1)
		case 3:
			network.kill()
			cancel()
			return
		}
		done, endErr := s.End(within, commit)
		cancel()
		if done {
			k.Copied.Add(int64(fs.NumRecords()))
		}
		if endErr != nil || (err != nil && !errors.Is(err, kgo.ErrAborting)) {
			return
		}
	}
}

// Topics implements Workload.
func (k *Copies) Topics() []string { return []string{k.in, k.out} }

// Progress implements Workload.
func (k *Copies) Progress() string {
	return fmt.Sprintf("%d copied; workers aborted %d, stood still %d times, ended %d times", k.Copied.Load(), k.abandoned.Load(), k.stood.Load(), k.ended.Load())
}

// Finish ends the writing, waits until everything is copied, and looks that nothing else is.
func (k *Copies) Finish(ctx context.Context) (records int64, problems []string) {
	all := k.feeder.finish(ctx)
	complete := func() bool {
		for p := range k.read {
			if k.read[p].Load() < k.feeder.sent[p].Load() {
				return false
			}
		}
		return true
	}
	for !complete() && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
	k.cancel()
	k.workers.Wait()
	k.closing.Wait()
	// What should not be there would come now.
	pause(ctx, time.Second)
	k.stopRead()
	k.reader.Wait()
	for p := range k.read {
		if got, want := k.read[p].Load(), k.feeder.sent[p].Load(); got != want {
			k.problem("%s-%d: copied up to %d of %d", k.out, p, got, want)
		}
	}
	return all, k.all()
}
