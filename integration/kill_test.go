package integration

import (
	"sync"
	"testing"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// TestKilledInTheMiddle: the broker is killed twice while an idempotent producer writes, and started again each time: nothing is
// lost, nothing doubled, the order kept.
func TestKilledInTheMiddle(t *testing.T) {
	kind, ctx := interop(t, 30*time.Minute)
	tr := sourceTree(t)
	for _, p := range tools(t).Producers() {
		if !p.Idempotent {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			b := startBroker(t, ctx, peer.Options{Kind: kind})
			topic := "killed"
			if err := clients.CreateTopic(ctx, b.Addr, topic, partitions, nil); err != nil {
				t.Fatal(err)
			}
			j := clients.Job{Addr: b.Addr, Topic: topic, Codec: "lz4", Idempotent: true}
			var restarting sync.WaitGroup
			kill := func() {
				b.Kill()
				began := time.Now()
				n, err := b.Restart(ctx)
				if err != nil {
					t.Errorf("starting after kill -9: %v", err)
					return
				}
				b = n
				t.Cleanup(n.Close)
				t.Logf("up again %.2f s after kill -9", time.Since(began).Seconds())
			}
			began := time.Now()
			err := p.Produce(ctx, j, func(yield func(key, value []byte) bool) {
				sent := 0
				for k, v := range tr.Each {
					if sent++; sent == tr.Records/3 || sent == tr.Records*2/3 {
						// The producer goes on while the broker is away.
						restarting.Wait()
						restarting.Go(kill)
					}
					if !yield(k, v) {
						return
					}
				}
			})
			restarting.Wait()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d records by %s: %.1f s", tr.Records, p.Name, time.Since(began).Seconds())
			for _, name := range []string{"franz-go", "java-4"} {
				consume(t, ctx, consumer(t, name), j, tr)
			}
		})
	}
}
