package integration

import (
	"testing"
	"time"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

const partitions = 6

// TestMainJob: every line of the Go tree, through each producer with each codec, read back by each consumer, file by file the same.
// Each pair of producer and codec has its topic. Without FULL=1 a topic is read by the consumers that make each pair of (codec,
// consumer) and of (producer, consumer) occur.
func TestMainJob(t *testing.T) {
	kind, ctx := interop(t, 110*time.Minute)
	tr := sourceTree(t)
	tl := tools(t)
	b := startBroker(t, ctx, peer.Options{Kind: kind})
	producers, consumers := tl.Producers(), tl.Consumers()
	for pi, p := range producers {
		for ci, codec := range clients.Codecs {
			topic := p.Name + "-" + codec
			t.Run(topic, func(t *testing.T) {
				lines := tr
				if p.Text {
					lines = tr.Text()
				}
				if err := clients.CreateTopic(ctx, b.Addr, topic, partitions, nil); err != nil {
					t.Fatal(err)
				}
				j := clients.Job{Addr: b.Addr, Topic: topic, Codec: codec}
				produce(t, ctx, p, j, lines)
				for ki, c := range consumers {
					if full() || (ci+ki)%len(producers) == pi {
						t.Run(c.Name, func(t *testing.T) { consume(t, ctx, c, j, lines) })
					}
				}
			})
		}
	}
}
