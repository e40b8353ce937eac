package storage

import (
	"slices"

	"gregor/storage/txnindex"
	"gregor/wire/record"
)

// cleanTxns follows transactions while the cleaner walks over a log, to know which data is aborted and which markers are still needed.
type cleanTxns struct {
	upcoming  []txnindex.Aborted // by first offset: those that the walk has not reached
	aborted   map[int64]*abortedTxn
	committed map[int64]struct{} // producers of whose transaction data was seen
}

type abortedTxn struct {
	txnindex.Aborted
	seen bool // data of it
}

func newCleanTxns() *cleanTxns {
	return &cleanTxns{aborted: make(map[int64]*abortedTxn), committed: make(map[int64]struct{})}
}

// expect adds aborted transactions that the walk comes to. One may be named again for each segment it reaches into.
func (t *cleanTxns) expect(list []txnindex.Aborted) {
	if len(list) == 0 {
		return
	}
	t.upcoming = append(t.upcoming, list...)
	slices.SortStableFunc(t.upcoming, func(a, b txnindex.Aborted) int {
		switch {
		case a.FirstOffset < b.FirstOffset:
			return -1
		case a.FirstOffset > b.FirstOffset:
			return 1
		}
		return 0
	})
}

func (t *cleanTxns) reach(offset int64) {
	for len(t.upcoming) > 0 && t.upcoming[0].FirstOffset <= offset {
		a := t.upcoming[0]
		t.upcoming = t.upcoming[1:]
		if t.aborted[a.ProducerID] == nil {
			t.aborted[a.ProducerID] = &abortedTxn{Aborted: a}
		}
	}
}

// data tells whether a batch's records were aborted.
func (t *cleanTxns) data(h *record.Header) bool {
	if len(t.upcoming) > 0 {
		t.reach(h.LastOffset())
	}
	if !h.IsTransactional() {
		return false
	}
	if a := t.aborted[h.ProducerID]; a != nil {
		a.seen = true
		return true
	}
	t.committed[h.ProducerID] = struct{}{}
	return false
}

// marker tells whether a control batch is needed no more, as none of its transaction's data was seen. of is the aborted transaction
// that it ends, if data of it was seen.
func (t *cleanTxns) marker(b record.Batch) (needless bool, of *txnindex.Aborted, err error) {
	t.reach(b.LastOffset())
	m, ok, err := record.ParseEndTxnMarker(b)
	if err != nil || !ok {
		return err == nil, nil, err // an empty one was cleaned before
	}
	id := b.ProducerID()
	switch m.Type {
	case record.ControlAbort:
		a := t.aborted[id]
		delete(t.aborted, id)
		if a != nil && a.seen {
			return false, &a.Aborted, nil
		}
		return true, nil, nil
	case record.ControlCommit:
		_, seen := t.committed[id]
		delete(t.committed, id)
		return !seen, nil, nil
	}
	return false, nil, nil
}
