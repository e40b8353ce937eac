package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire/record"
)

// sequencer is an idempotent producer at its most demanding: five batches in flight, any acks, and after each failure all that were not
// answered again, with their sequence numbers.
type sequencer struct {
	t     *testing.T
	acks  int16
	pid   int64
	epoch int16
	sent  [][]byte // batches in flight, the oldest first
	first []int    // the number of the first record of each
	next  int      // the number of the next record
	// acked is the offset of each acknowledged batch by the number of its first record.
	acked map[int]int64
}

const perBatch = 3

func (s *sequencer) batch() []byte {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = s.pid, s.epoch, int32(s.next)
	var values [][]byte
	for i := range perBatch {
		values = append(values, []byte(strconv.Itoa(s.next+i)))
	}
	return batch(s.t, b, values...)
}

// run writes until n more batches are acknowledged or the connection breaks.
func (s *sequencer) run(ctx context.Context, b *peer.Broker, n int) error {
	conn, err := peer.Dial(ctx, b.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	send := func(records []byte) error {
		_, err := conn.Write(conn.Frame(produceTo("t", 0, 8, s.acks, records)))
		return err
	}
	for _, records := range s.sent {
		if err := send(records); err != nil {
			return err
		}
	}
	for done := 0; done < n; done++ {
		for len(s.sent) < 5 {
			records := s.batch()
			s.sent, s.first = append(s.sent, records), append(s.first, s.next)
			s.next += perBatch
			if err := send(records); err != nil {
				return err
			}
		}
		resp, err := conn.Receive(produceTo("t", 0, 8, s.acks, nil))
		if err != nil {
			return err
		}
		p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		switch p.ErrorCode {
		case 0:
		case kerr.NotLeaderForPartition.Code, kerr.UnknownTopicOrPartition.Code:
			return errors.New("not the leader yet")
		default:
			s.t.Fatalf("batch of record %d: %s", s.first[0], kafkaError(p.ErrorCode))
		}
		s.acked[s.first[0]] = p.BaseOffset
		s.sent, s.first = s.sent[1:], s.first[1:]
	}
	return nil
}

// TestSequencesSurviveKills: kill -9 again and again under an idempotent producer: each record is there once, in order, at the offset that
// was acknowledged, whatever acks says.
func TestSequencesSurviveKills(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		t.Run(fmt.Sprintf("acks=%d", acks), func(t *testing.T) {
			ctx := trouble(t, 3*time.Minute)
			b := troubled(t, ctx, peer.Options{Config: map[string]string{"log.segment.bytes": "1048576"}})
			id := ask[*kmsg.InitProducerIDResponse](t, ctx, dialBroker(t, ctx, b), kmsg.NewPtrInitProducerIDRequest())
			s := &sequencer{t: t, acks: acks, pid: id.ProducerID, epoch: id.ProducerEpoch, acked: map[int]int64{}}
			const kills = 25
			for i := range kills {
				before := len(s.acked)
				killed := make(chan struct{})
				go func() { // at some time during the writing
					defer close(killed)
					time.Sleep(time.Duration(20+7*i) * time.Millisecond)
					b.Kill()
				}()
				for s.run(ctx, b, 1<<30) == nil {
				}
				<-killed
				if len(s.acked) == before {
					t.Logf("nothing written before kill %d", i)
				}
				b = restart(t, ctx, b)
			}
			eventually(t, ctx, 20*time.Second, "writing after the last kill", func() error { return s.run(ctx, b, 100) })
			for len(s.sent) > 0 { // what is in flight, and no more
				s.finish(ctx, b)
			}
			got := values(t, ctx, b, "t")
			if len(got) != s.next {
				t.Errorf("%d records, %d were written", len(got), s.next)
			}
			for i, v := range got {
				if string(v) != strconv.Itoa(i) {
					t.Fatalf("record %s at offset %d", v, i)
				}
			}
			for n, offset := range s.acked {
				if int64(n) != offset {
					t.Fatalf("the batch of record %d was acknowledged at offset %d", n, offset)
				}
			}
			t.Logf("%d records in %d batches through %d kills, each once and in order", len(got), len(s.acked), kills)
		})
	}
}

// finish has what is in flight answered.
func (s *sequencer) finish(ctx context.Context, b *peer.Broker) {
	s.t.Helper()
	conn := dialBroker(s.t, ctx, b)
	for i, records := range s.sent {
		p := ask[*kmsg.ProduceResponse](s.t, ctx, conn, produceTo("t", 0, 8, s.acks, records)).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			s.t.Fatalf("batch of record %d: %s", s.first[i], kafkaError(p.ErrorCode))
		}
		s.acked[s.first[i]] = p.BaseOffset
	}
	s.sent, s.first = nil, nil
}
