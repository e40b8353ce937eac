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
					if full() || pairwise(pi, ci, ki, len(producers)) {
						t.Run(c.Name, func(t *testing.T) { consume(t, ctx, c, j, lines) })
					}
				}
			})
		}
	}
}

// pairwise chooses, for each codec and consumer, one producer, going round; the last codec stands in for the rounds that are left where
// there are more producers than codecs.
func pairwise(producer, codec, consumer, producers int) bool {
	last := codec
	if codec == len(clients.Codecs)-1 {
		last = max(codec, producers-1)
	}
	for round := codec; round <= last; round++ {
		if (round+consumer)%producers == producer {
			return true
		}
	}
	return false
}

func TestPairwiseHasEachPair(t *testing.T) {
	for _, producers := range []int{4, 5, 6, 7} {
		const consumers = 8
		type pair struct {
			what string
			a, b int
		}
		seen := map[pair]bool{}
		for p := range producers {
			for c := range clients.Codecs {
				for k := range consumers {
					if pairwise(p, c, k, producers) {
						seen[pair{"producer, consumer", p, k}] = true
						seen[pair{"codec, consumer", c, k}] = true
					}
				}
			}
		}
		if want := producers*consumers + len(clients.Codecs)*consumers; len(seen) != want {
			t.Errorf("%d producers: %d pairs of %d", producers, len(seen), want)
		}
	}
}
