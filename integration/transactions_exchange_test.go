package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// TestTransactionsAreExchanged: a broker stops, or is killed, with transactions open; the other kind of broker opens its directory, goes on with
// them, commits and aborts them, and gives the directory back.
func TestTransactionsAreExchanged(t *testing.T) {
	_, ctx := interop(t, 10*time.Minute)
	for _, c := range []struct {
		first, second peer.Kind
		unclean       bool
	}{
		{peer.Gregor, peer.Kafka, false}, {peer.Kafka, peer.Gregor, true}, {peer.Gregor, peer.Kafka, true}, {peer.Kafka, peer.Gregor, false},
	} {
		name := fmt.Sprintf("%s to %s", c.first, c.second)
		if c.unclean {
			name += " killed"
		}
		t.Run(name, func(t *testing.T) {
			// In the short form a clean stop of one and a kill of the other.
			if !full() && c.unclean == (c.first == peer.Gregor) {
				t.Skip("with FULL=1")
			}
			x := &txnExchange{ctx: ctx, dir: t.TempDir(), zooKeeper: startZooKeeper(t, ctx).Addr}
			turns := 3
			if full() {
				turns = 4
			}
			for turn := range turns {
				x.turn(t, turn, []peer.Kind{c.first, c.second}[turn%2], c.unclean)
			}
		})
	}
}

type txnExchange struct {
	ctx            context.Context
	dir, zooKeeper string

	open []*openTxn
	// want is what a reader of what was committed sees of each of the two partitions, and all what one of everything sees.
	want, all [2][]string
	// ids are those of transactional ids that have no transaction.
	ids map[string]*clients.Txn
}

// openTxn is a transaction of the turn before.
type openTxn struct {
	*clients.Txn
	values [2][]string
	commit bool
	offset int64
}

const exchangeTopic = "exchanged"

func (x *txnExchange) turn(t *testing.T, turn int, kind peer.Kind, unclean bool) {
	t.Helper()
	b, err := peer.StartWhenFree(x.ctx, peer.Options{Kind: kind, Dir: x.dir, ZooKeeper: x.zooKeeper, ID: 1, Config: map[string]string{
		"transaction.state.log.num.partitions": "3", "offsets.topic.num.partitions": "3", "log.segment.bytes": "1048576",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	defer func() {
		if t.Failed() {
			t.Logf("turn %d, the end of the log:\n%s", turn, b.Tail())
		}
	}()
	if turn == 0 {
		if err := clients.CreateTopic(x.ctx, b.Addr, exchangeTopic, 2, nil); err != nil {
			t.Fatal(err)
		}
		x.ids = map[string]*clients.Txn{}
	}
	if !unclean && turn > 0 {
		mustNotRepair(t, b)
	}
	waitFor(t, x.ctx, "leaders that everybody knows", func() bool {
		_, err := clients.Values(x.ctx, b.Addr, exchangeTopic, 0, false)
		_, err2 := clients.Values(x.ctx, b.Addr, exchangeTopic, 1, false)
		return errors.Join(err, err2) == nil
	})
	// While they are open, a reader of what was committed comes as far as the first of them.
	x.reads(t, b.Addr, turn, "before they end")
	for _, o := range x.open {
		x.finish(t, b.Addr, turn, o)
	}
	for p := range int32(2) {
		settled(t, x.ctx, b.Addr, exchangeTopic, p)
	}
	for i, o := range x.open {
		for p := range o.values {
			if o.commit {
				x.want[p] = append(x.want[p], o.values[p]...)
			}
		}
		group := fmt.Sprintf("group-%d-%d", turn-1, i)
		want := int64(-1)
		if o.commit {
			want = o.offset
		}
		if got := committedOffset(t, x.ctx, b.Addr, group); got != want {
			t.Errorf("turn %d: %s has offset %d of %s, want %d", turn, kind, got, group, want)
		}
	}
	x.open = nil
	x.reads(t, b.Addr, turn, "after they have ended")
	x.returning(t, b.Addr, turn)
	x.begin(t, b.Addr, turn)
	if unclean {
		b.Kill()
		return
	}
	stop(t, b)
}

// begin begins transactions for the next turn, and writes outside of them as well.
func (x *txnExchange) begin(t *testing.T, addr string, turn int) {
	t.Helper()
	for i := range 2 {
		id := fmt.Sprintf("id-%d", i) // the same in each turn
		p, err := clients.DialTxn(x.ctx, addr, id, 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		o := &openTxn{Txn: p, commit: (turn+i)%2 == 0, offset: int64(turn*10 + i)}
		for part := range int32(2) {
			for n := range 3 {
				value := fmt.Sprintf("turn %d, %s, %d-%d", turn, id, part, n)
				err := errors.Join(p.Add(x.ctx, exchangeTopic, part), p.Produce(x.ctx, exchangeTopic, []int32{part}, 1, []byte(value)))
				if err != nil {
					t.Fatal(err)
				}
				o.values[part] = append(o.values[part], value)
				x.all[part] = append(x.all[part], value)
			}
		}
		if err := p.CommitOffset(x.ctx, fmt.Sprintf("group-%d-%d", turn, i), exchangeTopic, 0, o.offset); err != nil {
			t.Fatal(err)
		}
		p.Close()
		x.open = append(x.open, o)
	}
}

// finish writes one more record with the producer id of the other broker's time, and ends the transaction.
func (x *txnExchange) finish(t *testing.T, addr string, turn int, o *openTxn) {
	t.Helper()
	if err := o.Connect(x.ctx, addr); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	value := fmt.Sprintf("turn %d, %s, at last", turn, o.ID)
	if err := errors.Join(o.Produce(x.ctx, exchangeTopic, []int32{1}, 1, []byte(value)), o.End(x.ctx, o.commit)); err != nil {
		t.Fatalf("turn %d: %v", turn, err)
	}
	o.values[1] = append(o.values[1], value)
	x.all[1] = append(x.all[1], value)
}

// returning: a transactional id that has nothing open keeps its producer id and gets the next epoch, from whichever broker.
func (x *txnExchange) returning(t *testing.T, addr string, turn int) {
	t.Helper()
	const id = "returning"
	now, err := clients.DialTxn(x.ctx, addr, id, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	now.Close()
	if old := x.ids[id]; old != nil && (now.ProducerID != old.ProducerID || now.Epoch != old.Epoch+1) {
		t.Errorf("turn %d: %s has producer id %d, epoch %d; it was %d, epoch %d", turn, id, now.ProducerID, now.Epoch, old.ProducerID, old.Epoch)
	}
	fresh, err := clients.DialTxn(x.ctx, addr, fmt.Sprint("fresh-", turn), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	fresh.Close()
	for other, p := range x.ids {
		if p.ProducerID == fresh.ProducerID {
			t.Errorf("turn %d: %s has the producer id %d of %s", turn, fresh.ID, fresh.ProducerID, other)
		}
	}
	x.ids[id], x.ids[fresh.ID] = now, fresh
}

func (x *txnExchange) reads(t *testing.T, addr string, turn int, when string) {
	t.Helper()
	for p := range int32(2) {
		for committed, want := range map[bool][]string{true: x.want[p], false: x.all[p]} {
			got, err := clients.Values(x.ctx, addr, exchangeTopic, p, committed)
			if err != nil || !sameSet(got, want) {
				t.Errorf("turn %d, %s, partition %d, committed only %v: %q, %v\nwant %q", turn, when, p, committed, got, err, want)
			}
		}
	}
}

// sameSet: transactions side by side are read in the order of their records, not of their ends.
func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// committedOffset waits until nothing is pending (KIP-447), and returns the offset of partition 0, -1: none.
func committedOffset(t *testing.T, ctx context.Context, addr, group string) int64 {
	t.Helper()
	c, err := peer.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group, req.RequireStable = 7, group, true
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: exchangeTopic, Partitions: []int32{0}}}
	at := int64(-2)
	err = clients.Patient(ctx, 20*time.Millisecond, func() error {
		resp, err := c.Request(ctx, req)
		if err != nil {
			return err
		}
		r := resp.(*kmsg.OffsetFetchResponse)
		if r.ErrorCode != 0 {
			return kerr.ErrorForCode(r.ErrorCode)
		}
		at = r.Topics[0].Partitions[0].Offset
		return kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode)
	})
	if err != nil {
		t.Errorf("offset of group %s: %v", group, err)
	}
	return at
}
