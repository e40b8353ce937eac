package replication

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage"
)

func followedAt(topic string, partition int32, end int64) *followed {
	return &followed{p: &Partition{tp: storage.TopicPartition{Topic: topic, Partition: partition}}, epoch: 4, ready: true,
		pos: position{end: end, start: 2, lastEpoch: 3}}
}

// Every version of a follower's request says the same to a decoder that is not ours.
func TestFetchRequestVersions(t *testing.T) {
	for v := range int16(13) {
		m := New(Options{BrokerID: 7, Fetching: Fetching{Versions: FetchVersions{Fetch: v, Epochs: true}}})
		f := &fetcher{m: m}
		f.session.id, f.session.epoch = 11, 5
		e := fetchRequest{v: v, f: f, list: []*followed{followedAt("a", 0, 10), followedAt("a", 1, 20), followedAt("b", 0, 30)}}
		if v >= 7 {
			e.gone = []storage.TopicPartition{{Topic: "c", Partition: 9}}
		}
		req := kmsg.NewPtrFetchRequest()
		req.Version = v
		if err := req.ReadFrom(e.append(nil)); err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		got := fmt.Sprint(req.ReplicaID, req.MaxWaitMillis, req.MinBytes)
		for _, tp := range req.Topics {
			for _, p := range tp.Partitions {
				got += fmt.Sprintf(" %s-%d@%d/%d", tp.Topic, p.Partition, p.FetchOffset, p.PartitionMaxBytes)
				if v >= 9 && p.CurrentLeaderEpoch != 4 || v >= 12 && p.LastFetchedEpoch != 3 || v >= 5 && p.LogStartOffset != 2 {
					t.Errorf("version %d: %+v", v, p)
				}
			}
		}
		if want := "7 500 1 a-0@10/1048576 a-1@20/1048576 b-0@30/1048576"; got != want {
			t.Errorf("version %d: %s", v, got)
		}
		if v >= 7 && (req.SessionID != 11 || req.SessionEpoch != 5 || len(req.ForgottenTopics) != 1 || req.ForgottenTopics[0].Partitions[0] != 9) {
			t.Errorf("version %d: session %d/%d, forgotten %v", v, req.SessionID, req.SessionEpoch, req.ForgottenTopics)
		}
	}
}

// Every version of an answer, written by an encoder that is not ours, is understood.
func TestFetchAnswerVersions(t *testing.T) {
	for v := range int16(13) {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version, resp.SessionID = v, 99
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.HighWatermark, rp.LogStartOffset, rp.RecordBatches = 5, 0, 40, 3, []byte("records")
		rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}}
		rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = 6, 33
		resp.Topics = []kmsg.FetchResponseTopic{{Topic: "t", Partitions: []kmsg.FetchResponseTopicPartition{rp}}}
		d := fetchAnswer{v: v}
		n := 0
		err := d.decode(resp.AppendTo(nil), func(in *partitionAnswer) {
			n++
			if in.topic != "t" || in.partition != 5 || in.highWatermark != 40 || string(in.records) != "records" {
				t.Errorf("version %d: %+v", v, in)
			}
			if v >= 5 && in.logStart != 3 || v < 5 && in.logStart != -1 {
				t.Errorf("version %d: log start %d", v, in.logStart)
			}
			if v >= 12 && (!in.diverging || in.divergingEpoch != 6 || in.divergingEnd != 33) || v < 12 && in.diverging {
				t.Errorf("version %d: %+v", v, in)
			}
		})
		if err != nil || n != 1 || v >= 7 && d.session != 99 {
			t.Errorf("version %d: %d partitions, session %d, %v", v, n, d.session, err)
		}
	}
}

func FuzzFetchAnswer(f *testing.F) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 12
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = []byte("x")
	resp.Topics = []kmsg.FetchResponseTopic{{Topic: "t", Partitions: []kmsg.FetchResponseTopicPartition{rp}}}
	f.Add(int16(12), resp.AppendTo(nil))
	f.Add(int16(0), []byte{0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, v int16, b []byte) {
		d := fetchAnswer{v: (v%13 + 13) % 13}
		_ = d.decode(b, func(*partitionAnswer) {})
	})
}
