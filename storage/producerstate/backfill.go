package producerstate

import (
	"slices"

	"gregor/wire/record"
)

// Backfill completes the windows of producers that came from a snapshot, which only keeps each one's last batch, with the
// batches before it that the log still holds; without it a producer that sends an older batch again after the broker's restart is
// told OUT_OF_ORDER_SEQUENCE_NUMBER. Feed it headers from below the snapshot's offset in log order, then Done, then Load the rest.
type Backfill struct {
	m      *Manager
	before map[int64]*[]batch // at most windowSize-1 each, oldest first
	epoch  map[int64]int16
}

// NewBackfill returns nil if no producer's window could be completed.
func (m *Manager) NewBackfill() *Backfill {
	var f *Backfill
	if m.s == nil {
		return nil
	}
	for id, p := range m.s.producers {
		if p.n != 1 {
			continue
		}
		if f == nil {
			f = &Backfill{m: m, before: make(map[int64]*[]batch), epoch: make(map[int64]int16)}
		}
		f.before[id] = new([]batch)
		f.epoch[id] = p.epoch
	}
	return f
}

// Add offers one batch that lies below the snapshot's offset.
func (f *Backfill) Add(h *record.Header) {
	if h.Magic < 2 || !h.HasProducerID() || h.IsControl() {
		return
	}
	list, wanted := f.before[h.ProducerID]
	if !wanted || h.ProducerEpoch != f.epoch[h.ProducerID] {
		return
	}
	b := batch{lastOffset: h.LastOffset(), timestamp: h.MaxTimestamp, lastSeq: h.LastSequence(), offsetDelta: h.LastOffsetDelta}
	if last, _ := f.m.s.producers[h.ProducerID].last(); b.lastOffset >= last.firstOffset() {
		return
	}
	if len(*list) == windowSize-1 {
		*list = slices.Delete(*list, 0, 1)
	}
	*list = append(*list, b)
}

// Done puts the batches that lead up to each window without a gap in front of it.
func (f *Backfill) Done() {
	for id, list := range f.before {
		p := f.m.s.producers[id]
		if p == nil || p.n != 1 {
			continue
		}
		last := p.window[0]
		first, next := len(*list), last
		for first > 0 && record.IncrementSequence((*list)[first-1].lastSeq, 1) == next.firstSeq() {
			first--
			next = (*list)[first]
		}
		p.n = 0
		for _, b := range (*list)[first:] {
			p.push(b)
		}
		p.push(last)
	}
}
