package group

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/wire/record"
)

// Load reads the shard's log and then serves.
func (s *shard) Load(waited time.Duration) {
	begun := time.Now().Add(-waited)
	l := &loader{s: s, groups: map[string]*loading{}, topics: map[string]string{}, txn: map[int64]map[string]map[fsm.TP]*fsm.Offset{}}
	if err := l.read(); err != nil {
		// What was read is served, as Apache Kafka does: no coordinator at all would stop more.
		s.c.opt.Log.Errorf("Error loading offsets from __consumer_offsets-%d, what was read before it is served: %v", s.id, err)
	}
	groups, offsets := l.install()
	if groups >= 0 {
		s.c.opt.Log.Infof("Finished loading offsets and group metadata from __consumer_offsets-%d in %d milliseconds, of which %d milliseconds was spent waiting: %d groups, %d offsets",
			s.id, time.Since(begun).Milliseconds(), waited.Milliseconds(), groups, offsets)
	}
}

// loading is what the log says about one group so far.
type loading struct {
	value   *kmsg.GroupMetadataValue
	offsets map[fsm.TP]*fsm.Offset
}

type loader struct {
	s      *shard
	groups map[string]*loading
	topics map[string]string // each name once
	// txn are the offsets of open transactions, by producer and group.
	txn  map[int64]map[string]map[fsm.TP]*fsm.Offset
	upTo int64 // what was read ends here
}

func (l *loader) read() (err error) {
	s := l.s
	from := led.Loader{Buffer: s.c.opt.LoadBuffer, Marker: l.marker, Record: l.record,
		Over: func() bool { return s.c.shards.Context().Err() != nil || s.mu.IsGone() },
		Skip: func(offset int64, err error) {
			s.c.opt.Log.Errorf("Skipping the record at offset %d of __consumer_offsets-%d, what was committed before under its key stays: %v", offset, s.id, err)
		}}
	l.upTo, err = from.Load(s.log)
	return err
}

func (l *loader) marker(m record.EndTxnMarker, h *record.Header) {
	if m.Type == record.ControlCommit {
		for group, of := range l.txn[h.ProducerID] {
			to := l.group([]byte(group))
			for tp, o := range of {
				if was := to.offsets[tp]; was == nil || was.Position <= o.Position {
					to.offsets[tp] = o
				}
			}
		}
	}
	delete(l.txn, h.ProducerID)
}

func (l *loader) group(name []byte) *loading {
	g := l.groups[string(name)]
	if g == nil {
		g = &loading{offsets: map[fsm.TP]*fsm.Offset{}}
		l.groups[string(name)] = g
	}
	return g
}

func (l *loader) topic(name []byte) string {
	t, ok := l.topics[string(name)]
	if !ok {
		t = string(name)
		l.topics[t] = t
	}
	return t
}

func (l *loader) record(r *record.Record, h *record.Header) error {
	name, topic, partition, isGroup, err := readKey(r.Key)
	if err != nil {
		return fmt.Errorf("its key %x: %w", r.Key, err)
	}
	if isGroup {
		g := l.group(name)
		if r.Value == nil {
			g.value = nil
			return nil
		}
		v, err := readGroup(r.Value)
		if err != nil {
			return fmt.Errorf("the state of group %q: %w", name, err)
		}
		g.value = v
		return nil
	}
	tp := fsm.TP{Topic: l.topic(topic), Partition: partition}
	offsets := l.group(name).offsets
	if h.IsTransactional() {
		offsets = l.open(h.ProducerID, name)
	}
	if r.Value == nil {
		delete(offsets, tp)
		return nil
	}
	o, err := readOffset(r.Value)
	if err != nil {
		return fmt.Errorf("the offset of group %q for %s-%d: %w", name, topic, partition, err)
	}
	o.Position = h.BaseOffset
	offsets[tp] = o
	return nil
}

func (l *loader) open(producer int64, group []byte) map[fsm.TP]*fsm.Offset {
	of := l.txn[producer]
	if of == nil {
		of = map[string]map[fsm.TP]*fsm.Offset{}
		l.txn[producer] = of
	}
	if of[string(group)] == nil {
		l.group(group)
		of[string(group)] = map[fsm.TP]*fsm.Offset{}
	}
	return of[string(group)]
}

// install makes the groups and begins to serve them; -1 if that is not wanted any more.
func (l *loader) install() (groups, offsets int) {
	s, cfg, now := l.s, &l.s.c.opt.Groups, nowMillis()
	made := make(map[string]*fsm.Group, len(l.groups))
	for id, from := range l.groups {
		var g *fsm.Group
		if from.value != nil {
			g = fsm.Load(id, from.value, cfg)
		} else {
			g = fsm.New(id, cfg, now)
		}
		g.SetOffsets(from.offsets)
		offsets += len(from.offsets)
		made[id] = g
	}
	open := make(map[int64]map[string]struct{}, len(l.txn))
	for producer, of := range l.txn {
		open[producer] = make(map[string]struct{}, len(of))
		for id, offs := range of {
			open[producer][id] = struct{}{}
			for tp, o := range offs {
				made[id].SetPendingTxn(producer, tp, o)
			}
		}
	}
	for id, from := range l.groups {
		if from.value == nil && made[id].Bare() {
			delete(made, id)
		}
	}
	var all []after
	s.mu.Lock()
	if s.mu.Gone {
		s.mu.Unlock()
		return -1, 0
	}
	s.groups, s.mu.Loaded, s.open = made, true, open
	for _, e := range s.ended {
		if e.position >= l.upTo {
			s.end(e)
		}
	}
	s.ended = nil
	for _, g := range made {
		if g.Size() > 0 {
			var out fsm.Out
			g.Start(now, &out)
			all = append(all, s.apply(g, now, &out))
		}
	}
	n := len(made) // from here on it is changed by requests
	s.mu.Unlock()
	for i := range all {
		all[i].run()
	}
	return n, offsets
}
