package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bank moves money between the two partitions of a topic: each transfer is a transaction of one record in each, which add up to nothing. Some
// transfers are aborted, some are left in the middle by a teller whose successor has the same transactional id, and who must not commit any
// more. A reader of what was committed must find both halves of a transfer or none.
type Bank struct {
	*ledger
	c       *Cluster
	topic   string
	stop    chan struct{}
	cancel  context.CancelFunc
	tellers sync.WaitGroup
	others  sync.WaitGroup // the reader, the auditor, clients that are closed

	Committed atomic.Int64
	audits    atomic.Int64

	// Guarded by ledger.mu.
	fates []map[int64]fate // by teller
	halves
}

// BankOptions says how much a bank has to do.
type BankOptions struct {
	Tellers int
	// PerSecond is how many transfers a teller begins at most.
	PerSecond int
	Seed      uint64
}

// fate is what became of a transfer.
type fate int8

const (
	undecided fate = iota
	committed
	aborted    // nobody has asked, or will ask, for it to be committed
	unanswered // a commit was not answered
)

// halves are what a reader has seen.
type halves struct {
	seen     [2][]map[int64]int64 // by partition and teller: the amount of each transfer
	newest   [2][]int64           // by partition and teller
	position [2]int64
}

// StartBank begins to transfer. The topic must have two partitions.
func (c *Cluster) StartBank(ctx context.Context, topic string, o BankOptions) (*Bank, error) {
	b := &Bank{ledger: newLedger(o.Tellers), c: c, topic: topic, stop: make(chan struct{})}
	ctx, b.cancel = context.WithCancel(ctx)
	for p := range b.seen {
		for range o.Tellers {
			b.seen[p] = append(b.seen[p], map[int64]int64{})
			b.newest[p] = append(b.newest[p], -1)
		}
	}
	reader, err := kgo.NewClient(c.clientOptions(kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(250*time.Millisecond), kgo.ClientID("bank-reader"))...)
	if err != nil {
		return nil, err
	}
	b.others.Go(func() { defer reader.Close(); b.read(ctx, reader) })
	b.others.Go(func() { b.audit(ctx) })
	for i := range o.Tellers {
		b.fates = append(b.fates, map[int64]fate{})
		b.tellers.Go(func() { b.teller(ctx, i, o.PerSecond, rand.New(rand.NewPCG(o.Seed, uint64(i)))) })
	}
	return b, nil
}

func (b *Bank) client(id int) (*kgo.Client, error) {
	return kgo.NewClient(b.c.clientOptions(kgo.TransactionalID(fmt.Sprintf("%s-teller-%d", b.topic, id)), kgo.DefaultProduceTopic(b.topic),
		kgo.TransactionTimeout(10*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(20*time.Second),
		kgo.ClientID("teller"))...)
}

func (b *Bank) teller(ctx context.Context, id, perSecond int, r *rand.Rand) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	var cl *kgo.Client
	discard := func() {
		if old := cl; old != nil {
			b.others.Go(old.Close)
		}
		cl = nil
	}
	defer discard()
	for n := int64(0); ; n++ {
		select {
		case <-b.stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if cl == nil {
			var err error
			if cl, err = b.client(id); err != nil {
				b.problem("teller %d: %v", id, err)
				return
			}
		}
		f, next := b.transfer(ctx, cl, id, n, r)
		b.mu.Lock()
		b.fates[id][n] = f
		b.mu.Unlock()
		if f == committed {
			b.Committed.Add(1)
			b.advanced(id)
		}
		if next != cl {
			discard()
			cl = next
		}
	}
}

// transfer returns what became of a transfer, and with which client to go on, nil: a new one.
func (b *Bank) transfer(ctx context.Context, cl *kgo.Client, id int, n int64, r *rand.Rand) (fate, *kgo.Client) {
	amount := 1 + r.IntN(100)
	first, choice := int32(r.IntN(2)), r.IntN(20)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := cl.BeginTransaction(); err != nil {
		return aborted, nil
	}
	if _, _, err := cl.ProducerID(ctx); err != nil { // before two partitions need it: the client holds a mutex while it asks, and a bubble stands still
		return aborted, nil
	}
	half := func(p int32) *kgo.Record {
		sum := amount
		if p == 0 {
			sum = -amount
		}
		return &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%d %d %d", id, n, sum)}
	}
	if err := cl.ProduceSync(ctx, half(first), half(1-first)).FirstErr(); err != nil {
		return aborted, nil // its successor aborts what is left of it
	}
	switch choice {
	case 0:
		if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
			return aborted, nil
		}
		return aborted, cl
	case 1:
		return b.succeed(ctx, cl, id, n)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return unanswered, nil
	}
	return committed, cl
}

// succeed has another client take the transactional id over; the old one must not be able to commit.
func (b *Bank) succeed(ctx context.Context, old *kgo.Client, id int, n int64) (fate, *kgo.Client) {
	cl, err := b.client(id)
	if err != nil {
		b.problem("teller %d: %v", id, err)
		return aborted, nil
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		b.others.Go(cl.Close)
		return aborted, nil
	}
	if err := old.EndTransaction(ctx, kgo.TryCommit); err == nil {
		b.problem("teller %d: a transfer (%d) was committed after another client had taken its transactional id", id, n)
	}
	return aborted, cl
}

func (b *Bank) read(ctx context.Context, cl *kgo.Client) {
	for {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		b.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			b.position[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			var id int
			var n, amount int64
			if _, err := fmt.Sscan(string(r.Value), &id, &n, &amount); err != nil {
				b.problemLocked("partition %d offset %d: %q", r.Partition, r.Offset, r.Value)
				return
			}
			if n <= b.newest[r.Partition][id] {
				b.problemLocked("partition %d offset %d: transfer %d of teller %d after %d", r.Partition, r.Offset, n, id, b.newest[r.Partition][id])
			}
			b.newest[r.Partition][id] = n
			b.seen[r.Partition][id][n] = amount
			if b.fates[id][n] == aborted {
				b.problemLocked("partition %d offset %d: transfer %d of teller %d is there, which nobody has committed", r.Partition, r.Offset, n, id)
			}
		})
		b.mu.Unlock()
	}
}

// audit looks, again and again, at the transfers that a later one of the same teller shows to be finished on both partitions: when the reader
// has read what was there by then, it must have both halves of them, and they must add up to nothing.
func (b *Bank) audit(ctx context.Context) {
	adm := kadm.NewClient(b.c.Client)
	for ctx.Err() == nil {
		pause(ctx, time.Second)
		type transfer struct {
			id int
			n  int64
		}
		var finished []transfer
		b.mu.Lock()
		for id := range b.fates {
			newest := max(b.newest[0][id], b.newest[1][id])
			for _, seen := range [...]map[int64]int64{b.seen[0][id], b.seen[1][id]} {
				for n := range seen {
					if n < newest {
						finished = append(finished, transfer{id, n})
					}
				}
			}
		}
		b.mu.Unlock()
		ends, err := adm.ListEndOffsets(ctx, b.topic)
		if err != nil || ends.Error() != nil || len(ends[b.topic]) != 2 {
			continue
		}
		if !b.reach(ctx, ends[b.topic][0].Offset, ends[b.topic][1].Offset) {
			return
		}
		sum := int64(0)
		b.mu.Lock()
		for _, f := range finished {
			x, ok := b.seen[0][f.id][f.n]
			y, ok2 := b.seen[1][f.id][f.n]
			if !ok || !ok2 {
				b.problemLocked("transfer %d of teller %d is finished, and of its halves are there: %v, %v", f.n, f.id, ok, ok2)
			}
			sum += x + y
		}
		if sum != 0 {
			b.problemLocked("%d finished transfers add up to %d", len(finished), sum)
		}
		b.mu.Unlock()
		b.audits.Add(1)
	}
}

// reach waits until the reader has read up to these offsets.
func (b *Bank) reach(ctx context.Context, ends ...int64) bool {
	for ctx.Err() == nil {
		b.mu.Lock()
		there := b.position[0] >= ends[0] && b.position[1] >= ends[1]
		b.mu.Unlock()
		if there {
			return true
		}
		pause(ctx, 20*time.Millisecond)
	}
	return false
}

// Topics implements Workload.
func (b *Bank) Topics() []string { return []string{b.topic} }

// Progress implements Workload.
func (b *Bank) Progress() string {
	return fmt.Sprintf("%d transfers, %d audits", b.Committed.Load(), b.audits.Load())
}

// Finish ends the transfers and compares what is there with what became of each.
func (b *Bank) Finish(ctx context.Context) (records int64, problems []string) {
	close(b.stop)
	b.tellers.Wait()
	// A last transfer of each teller: when it is there, nothing is open any more.
	for id := range b.fates {
		if err := b.closing(ctx, id); err != nil {
			b.problem("the last transfer of teller %d: %v", id, err)
		}
	}
	adm := kadm.NewClient(b.c.Client)
	ends, err := adm.ListEndOffsets(ctx, b.topic)
	if err != nil || ends.Error() != nil {
		b.problem("ends of %s: %v %v", b.topic, err, ends.Error())
	} else if !b.reach(ctx, ends[b.topic][0].Offset, ends[b.topic][1].Offset) {
		b.mu.Lock()
		b.problemLocked("a reader of what was committed has come to %v, and not to the ends %d and %d", b.position, ends[b.topic][0].Offset, ends[b.topic][1].Offset)
		b.mu.Unlock()
	}
	b.cancel()
	b.others.Wait()
	b.compare()
	if b.audits.Load() == 0 {
		b.problem("there was no audit")
	}
	return b.Committed.Load(), b.all()
}

// closing makes a transfer that is committed for certain, as long as ctx allows.
func (b *Bank) closing(ctx context.Context, id int) error {
	var last []string
	for n := int64(1 << 40); ; n++ {
		cl, err := b.client(id)
		if err != nil {
			return err
		}
		// The marker of this transaction is written when the next may begin.
		err = cl.BeginTransaction()
		if err == nil {
			err = cl.ProduceSync(ctx, &kgo.Record{Partition: 0, Value: fmt.Appendf(nil, "%d %d 0", id, n)}, &kgo.Record{Partition: 1, Value: fmt.Appendf(nil, "%d %d 0", id, n)}).FirstErr()
		}
		f := aborted
		if err == nil {
			f = committed
			if err = cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				f = unanswered
			}
		}
		b.mu.Lock()
		b.fates[id][n] = f
		b.mu.Unlock()
		cl.Close()
		if err == nil {
			return nil
		}
		last = append(last, err.Error())
		if ctx.Err() != nil {
			return fmt.Errorf("%s", strings.Join(last, "; "))
		}
	}
}

func (b *Bank) compare() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sum int64
	for id, fates := range b.fates {
		for n, f := range fates {
			x, ok := b.seen[0][id][n]
			y, ok2 := b.seen[1][id][n]
			sum += x + y
			switch {
			case ok != ok2:
				b.problemLocked("of transfer %d of teller %d one half is there: %v, %v", n, id, ok, ok2)
			case f == committed && !ok:
				b.problemLocked("transfer %d of teller %d was committed and is not there", n, id)
			case f == aborted && ok:
				b.problemLocked("transfer %d of teller %d is there, which nobody has committed", n, id)
			}
		}
	}
	if sum != 0 {
		b.problemLocked("all transfers add up to %d", sum)
	}
}
