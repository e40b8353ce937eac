package txn

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/led"
	"gregor/coordinator/txn/fsm"
	"gregor/wire/record"
)

// Load reads the shard's log. When all that was read is committed it is served, and what the former coordinator had decided goes on: a
// decision that is still to be replicated may be lost with this broker, and no marker must be sent for it.
func (s *shard) Load(waited time.Duration) {
	begun := time.Now().Add(-waited)
	l := &loader{s: s, txns: map[string]*fsm.Txn{}, topics: map[string]string{}}
	s.c.opt.Log.Infof("Loading transaction metadata from __transaction_state-%d at epoch %d", s.id, s.epoch)
	from := led.Loader{Buffer: s.c.opt.LoadBuffer, Record: l.record,
		Over: func() bool { return s.c.shards.Context().Err() != nil || s.mu.IsGone() },
		Skip: func(offset int64, err error) {
			s.c.opt.Log.Errorf("Skipping the record at offset %d of __transaction_state-%d, the state before it under its key stays: %v", offset, s.id, err)
		}}
	upTo, err := from.Load(s.log)
	if err != nil {
		// What was read is served, as Apache Kafka does: no coordinator at all would stop more.
		s.c.opt.Log.Errorf("Error loading transactions from __transaction_state-%d, what was read before it is served: %v", s.id, err)
	}
	s.log.WhenCommitted(upTo, func(err error) { l.committed(err, begun, waited) })
}

// committed is called when all that was read is.
func (l *loader) committed(err error, begun time.Time, waited time.Duration) {
	s := l.s
	if code := s.c.opt.ErrorCode(err); err != nil && code != kerr.NotEnoughReplicasAfterAppend.Code {
		s.c.opt.Log.Warnf("The transactions of __transaction_state-%d are not served: %v", s.id, err) // its leader is another
		return
	}
	if n, ok := l.install(); ok {
		took := time.Since(begun)
		s.c.opt.Log.Infof("Finished loading %d transaction metadata from __transaction_state-%d in %d milliseconds, of which %d milliseconds was spent waiting",
			n, s.id, took.Milliseconds(), waited.Milliseconds())
	}
}

type loader struct {
	s      *shard
	txns   map[string]*fsm.Txn
	topics map[string]string // each name once
}

func (l *loader) record(r *record.Record, _ *record.Header) error {
	id, err := readKey(r.Key)
	if err != nil {
		return fmt.Errorf("its key %x: %w", r.Key, err)
	}
	if r.Value == nil {
		delete(l.txns, string(id))
		return nil
	}
	v, err := readValue(r.Value, l.topic)
	if err != nil {
		return fmt.Errorf("the state of transactional id %q: %w", id, err)
	}
	name := string(id)
	if was := l.txns[name]; was != nil {
		name = was.ID()
	}
	t, err := fsm.Load(name, v, &l.s.c.opt.Txns)
	if err != nil {
		return fmt.Errorf("the state of transactional id %q: %w", id, err)
	}
	l.txns[name] = t
	return nil
}

func (l *loader) topic(name []byte) string {
	t, ok := l.topics[string(name)]
	if !ok {
		t = string(name)
		l.topics[t] = t
	}
	return t
}

// install begins to serve what was read; false if that is not wanted any more.
func (l *loader) install() (n int, ok bool) {
	s, now := l.s, nowMillis()
	var all []after
	s.mu.Lock()
	if s.mu.Gone {
		s.mu.Unlock()
		return 0, false
	}
	s.txns, s.mu.Loaded = l.txns, true
	for _, t := range l.txns {
		var out fsm.Out
		if t.Start(now, &out); len(out.Markers)+len(out.Writes) > 0 {
			all = append(all, s.apply(t, now, &out))
		}
	}
	n = len(l.txns) // from here on it is changed by requests
	s.mu.Unlock()
	for i := range all {
		all[i].run()
	}
	return n, true
}
