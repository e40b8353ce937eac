package scripts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/wire/record"
)

// TestTransactionsCommand holds kafka-transactions against the class of Kafka 3.0, the first that has it. The broker of 2.7.2 does not
// know what it asks, so both are run on a Gregor, each on one of its own; without Java against what the class answered.
func TestTransactionsCommand(t *testing.T) {
	tr, err := load("testdata/3.0/kafka-transactions.txt")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Skip(err)
	}
	begin := func(p *place) *place {
		p.kind, p.dir, p.bin = peer.Gregor, t.TempDir(), bin
		start(t, ctx, p, peer.Options{Kind: peer.Gregor, Dir: filepath.Join(p.dir, "broker"), Config: map[string]string{
			"gregor.transactions.admin.enable": "true", "gregor.transactions.verify": "false", // so that transactions may hang
		}}, 1)
		if t.Failed() {
			t.FailNow()
		}
		openTransactions(t, ctx, p.broker)
		return p
	}
	if os.Getenv("GREGOR_INTEROP") != "1" {
		againstRecord(t, ctx, tr, begin(new(place)))
		return
	}
	j, err := newJava(t.TempDir(), "tools-3.0")
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	played := []place{*begin(&place{apache: true, java: j}), *begin(new(place))}
	results, errs := make([][]*result, 2), make([]error, 2)
	var wg sync.WaitGroup
	for i := range played {
		wg.Go(func() { results[i], errs[i] = played[i].play(ctx, tr, func(*step) bool { return false }) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	var answers strings.Builder
	for i, s := range tr.steps {
		t.Run(fmt.Sprintf("%d %s", s.line, s.text()), func(t *testing.T) {
			answers.WriteString(heading(s) + agree(t, tr, i, played, results, 0, 1) + "\n")
		})
	}
	if os.Getenv("RECORD") == "1" {
		if err := os.WriteFile(tr.record, []byte(answers.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// openTransactions makes what the transcript begins with: transactional ids pay, with a transaction that is open in open-0, done, which
// committed one in open-1, and idle, which began none; and in each partition of hung a transaction that nobody knows any more, an hour old.
func openTransactions(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for topic, partitions := range map[string]int32{"open": 2, "empty": 1, "hung": 3} {
		if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"pay", "done", "idle"} {
		leaveOpen(t, ctx, addr, id)
	}
	for p := range int32(3) {
		b := record.NewBuilder()
		b.Transactional, b.ProducerID, b.ProducerEpoch, b.BaseSequence = true, 7777+int64(p), 3, 0
		b.Append(time.Now().Add(-time.Hour).UnixMilli(), nil, []byte("v"))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrProduceRequest()
		id := "lost"
		req.Acks, req.TimeoutMillis, req.TransactionID = -1, 30_000, &id
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "hung", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: p, Records: batch}}}}
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// leaveOpen is a producer that ends as its id says, without a word to its coordinator.
func leaveOpen(t *testing.T, ctx context.Context, addr, id string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(id), kgo.TransactionTimeout(15*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, _, err := cl.ProducerID(ctx); err != nil || id == "idle" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: "open", Value: []byte("v")}
	if id == "done" {
		r.Partition = 1
	}
	if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if id != "done" {
		return
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}
