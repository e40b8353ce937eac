package controller

import (
	"context"
	"errors"
	"fmt"

	"gregor/controller/core"
	"gregor/zkmeta"
)

const (
	// writesPerMulti and multisInFlight: measured, more of either gains little (facts: 90,000 sets a second with 1,000 and 16).
	writesPerMulti = 500
	multisInFlight = 16
	// attempts at a batch that fails again without any of its znodes telling why.
	attempts = 3
)

// writer carries out a term's writes, many at a time, each fenced by the term's epoch. Results go to the loop.
type writer struct {
	t       *term
	slots   chan struct{}
	parents map[string]bool // topics whose /partitions is known to be there; the loop's
}

func newWriter(t *term) *writer {
	return &writer{t: t, slots: make(chan struct{}, multisInFlight), parents: map[string]bool{}}
}

// write starts writes. The loop calls it; it does not wait.
func (w *writer) write(writes []core.Write) {
	var states []core.Write
	var parents []string
	seen := map[string]bool{}
	for _, wr := range writes {
		switch wr.Kind {
		case core.CreateState:
			if topic := wr.TP.Topic; !w.parents[topic] && !seen[topic] {
				seen[topic] = true
				parents = append(parents, topic)
			}
			states = append(states, wr)
		case core.SetState:
			states = append(states, wr)
		case core.DeleteTopic:
			delete(w.parents, wr.TP.Topic)
			w.background(func() { w.deleteTopic(wr) })
		case core.ClearDeletion:
			w.background(func() { w.clearDeletion(wr) })
		case core.SetAssignments:
			w.background(func() { w.assign(wr) })
		case core.ClearMoves:
			w.background(func() { w.clearMoves(wr) })
		}
	}
	if len(states) == 0 {
		return
	}
	go func() {
		if len(parents) > 0 && !w.makeParents(parents, states) {
			return
		}
		for len(states) > 0 {
			n := min(len(states), writesPerMulti)
			batch := states[:n]
			states = states[n:]
			w.background(func() { w.batch(batch) })
		}
	}()
}

// background runs f when a slot is free. It waits for one on a goroutine of its own only when there is none.
func (w *writer) background(f func()) {
	go func() {
		select {
		case w.slots <- struct{}{}:
		case <-w.t.ctx.Done():
			return
		}
		defer func() { <-w.slots }()
		f()
	}()
}

func (w *writer) results(rs []core.Result) {
	if len(rs) > 0 {
		w.t.c.queue.put(coreEvent{term: w.t, ev: core.WritesDone{Results: rs}})
	}
}

func (w *writer) fail(writes []core.Write, err error) {
	if w.t.ctx.Err() != nil {
		return
	}
	rs := make([]core.Result, len(writes))
	for i, wr := range writes {
		rs[i] = core.Result{Write: wr, Outcome: core.Failed, Err: err.Error()}
	}
	w.results(rs)
}

// multi carries out ops behind the fence. It returns the results without that of the fence. A fenced multi ends the term.
func (w *writer) multi(ops []zkmeta.Op) ([]zkmeta.OpResult, error) {
	res, err := w.t.zk.Multi(w.t.ctx, append([]zkmeta.Op{w.t.epoch.Check()}, ops...))
	if err == nil {
		return res[1:], nil
	}
	var me *zkmeta.MultiError
	if errors.As(err, &me) && me.Index == 0 {
		w.t.c.queue.put(fenced{w.t})
		return nil, fmt.Errorf("fenced: %w", context.Canceled)
	}
	return nil, err
}

// makeParents makes /brokers/topics/T/partitions of topics that may lack it, in as few requests as they fit in.
func (w *writer) makeParents(topics []string, writes []core.Write) bool {
	for len(topics) > 0 {
		n := min(len(topics), writesPerMulti)
		if err := w.makeSomeParents(topics[:n]); err != nil {
			if !errors.Is(err, context.Canceled) {
				w.fail(writes, fmt.Errorf("make the parents of partitions: %w", err))
			}
			return false
		}
		topics = topics[n:]
	}
	return true
}

func (w *writer) makeSomeParents(topics []string) error {
	ops := make([]zkmeta.Op, len(topics))
	for i, topic := range topics {
		ops[i] = zkmeta.Op{Kind: zkmeta.OpCreate, Path: zkmeta.PathTopicPartitions(topic)}
	}
	for len(ops) > 0 {
		_, err := w.multi(ops)
		if !errors.Is(err, zkmeta.ErrNodeExists) && !errors.Is(err, zkmeta.ErrNoNode) {
			return err
		}
		// Some are there (a topic that grows), or their topic is gone: look, and make the others.
		paths := make([]string, 0, 2*len(ops))
		for _, o := range ops {
			paths = append(paths, o.Path, o.Path[:len(o.Path)-len("/partitions")])
		}
		nodes, err := w.t.zk.GetMany(w.t.ctx, paths)
		if err != nil {
			return err
		}
		var left []zkmeta.Op
		for i, o := range ops {
			if errors.Is(nodes[2*i].Err, zkmeta.ErrNoNode) && nodes[2*i+1].Err == nil {
				left = append(left, o)
			}
		}
		ops = left
	}
	return nil
}

// job is one state to write: the partition's own znode may be there already, when its maker stopped half-way.
type job struct {
	write     core.Write
	hasParent bool
}

func (j job) ops() []zkmeta.Op {
	tp := zkmeta.TopicPartition(j.write.TP)
	to := j.write.To
	data := zkmeta.EncodePartitionState(zkmeta.PartitionState{Leader: to.Leader, LeaderEpoch: to.LeaderEpoch, ISR: to.ISR, ControllerEpoch: to.ControllerEpoch})
	state := zkmeta.Op{Kind: zkmeta.OpSet, Path: zkmeta.PathPartitionState(tp), Data: data, Version: j.write.From}
	if j.write.Kind == core.SetState {
		return []zkmeta.Op{state}
	}
	state.Kind = zkmeta.OpCreate
	if j.hasParent {
		return []zkmeta.Op{state}
	}
	return []zkmeta.Op{{Kind: zkmeta.OpCreate, Path: zkmeta.PathPartition(tp)}, state}
}

// batch writes the states of one multi. If one of them conflicts, all of them are read, those in conflict are reported, and the others tried
// again.
func (w *writer) batch(writes []core.Write) {
	jobs := make([]job, len(writes))
	for i := range writes {
		jobs[i].write = writes[i]
	}
	for tries := 0; len(jobs) > 0; tries++ {
		var ops []zkmeta.Op
		last := make([]int, len(jobs)) // where a job's state is among the results
		for i, j := range jobs {
			ops = append(ops, j.ops()...)
			last[i] = len(ops) - 1
		}
		res, err := w.multi(ops)
		if err == nil {
			rs := make([]core.Result, len(jobs))
			for i, j := range jobs {
				rs[i] = core.Result{Write: j.write, Outcome: core.Done, Version: res[last[i]].Stat.Version}
			}
			w.results(rs)
			return
		}
		var me *zkmeta.MultiError
		if !errors.As(err, &me) || tries == attempts {
			if !errors.Is(err, context.Canceled) {
				w.fail(writesOf(jobs), err)
			}
			return
		}
		left, found, err := w.look(jobs)
		if err != nil {
			w.fail(writesOf(jobs), err)
			return
		}
		w.results(found)
		if len(left) < len(jobs) {
			tries = 0
		}
		jobs = left
	}
}

func writesOf(jobs []job) []core.Write {
	out := make([]core.Write, len(jobs))
	for i, j := range jobs {
		out[i] = j.write
	}
	return out
}

// look reads the znodes of jobs and sorts out those that are not as expected.
func (w *writer) look(jobs []job) (left []job, found []core.Result, err error) {
	paths := make([]string, 0, 3*len(jobs))
	for _, j := range jobs {
		tp := zkmeta.TopicPartition(j.write.TP)
		paths = append(paths, zkmeta.PathPartitionState(tp), zkmeta.PathPartition(tp), zkmeta.PathTopicPartitions(tp.Topic))
	}
	nodes, err := w.t.zk.GetMany(w.t.ctx, paths)
	if err != nil {
		return nil, nil, err
	}
	for i, j := range jobs {
		state, own, parent := nodes[3*i], nodes[3*i+1], nodes[3*i+2]
		if state.Err == nil {
			st, err := zkmeta.DecodePartitionState(state.Data)
			st.Version = state.Stat.Version
			l := coreLeadership(st)
			mine := err == nil && sameLeadership(l, j.write.To)
			switch {
			case err != nil:
				found = append(found, core.Result{Write: j.write, Outcome: core.Failed, Err: err.Error()})
			case mine:
				found = append(found, core.Result{Write: j.write, Outcome: core.Done, Version: st.Version})
			case j.write.Kind == core.SetState && st.Version == j.write.From:
				left = append(left, j)
			default:
				found = append(found, core.Result{Write: j.write, Outcome: core.Conflict, Found: &l})
			}
			continue
		}
		if j.write.Kind == core.SetState || parent.Err != nil {
			found = append(found, core.Result{Write: j.write, Outcome: core.Conflict})
			continue
		}
		j.hasParent = own.Err == nil
		left = append(left, j)
	}
	return left, found, nil
}

func sameLeadership(a, b core.Leadership) bool {
	b.Version = a.Version
	return a.String() == b.String() && a.ControllerEpoch == b.ControllerEpoch
}

// deleteTopic removes a topic's znodes, its configuration and at last the request for its deletion: whoever is interrupted leaves the
// request to its successor.
func (w *writer) deleteTopic(wr core.Write) {
	topic := wr.TP.Topic
	var err error
	for range attempts {
		var ops []zkmeta.Op
		if ops, err = w.deletionOf(topic); err == nil {
			err = w.inBatches(ops)
		}
		if err == nil {
			w.results([]core.Result{{Write: wr, Outcome: core.Done}})
			return
		}
		if !errors.Is(err, zkmeta.ErrNoNode) && !errors.Is(err, zkmeta.ErrNotEmpty) {
			break // only where somebody else writes there too is it worth looking again
		}
	}
	if !errors.Is(err, context.Canceled) {
		w.fail([]core.Write{wr}, err)
	}
}

// deletionOf lists what is there of a topic, children first.
func (w *writer) deletionOf(topic string) ([]zkmeta.Op, error) {
	ctx, zk := w.t.ctx, w.t.zk
	tree, err := zk.Subtree(ctx, zkmeta.PathTopic(topic))
	if err != nil {
		return nil, err
	}
	for _, p := range []string{zkmeta.PathEntityConfig(zkmeta.EntityTopics, topic), zkmeta.PathDeleteTopic(topic)} {
		ok, _, err := zk.Exists(ctx, p)
		if err != nil {
			return nil, err
		}
		if ok {
			tree = append(tree, p)
		}
	}
	ops := make([]zkmeta.Op, len(tree))
	for i, p := range tree {
		ops[i] = zkmeta.Op{Kind: zkmeta.OpDelete, Path: p, Version: zkmeta.AnyVersion}
	}
	return ops, nil
}

func (w *writer) inBatches(ops []zkmeta.Op) error {
	for len(ops) > 0 {
		n := min(len(ops), 2*writesPerMulti)
		if _, err := w.multi(ops[:n]); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

func (w *writer) clearDeletion(wr core.Write) {
	_, err := w.multi([]zkmeta.Op{{Kind: zkmeta.OpDelete, Path: zkmeta.PathDeleteTopic(wr.TP.Topic), Version: zkmeta.AnyVersion}})
	if errors.Is(err, zkmeta.ErrNoNode) {
		err = nil
	}
	w.ended(wr, err)
}

// assign replaces assignments in a topic's znode. Whoever adds partitions meanwhile keeps them.
func (w *writer) assign(wr core.Write) {
	err := w.rewrite(zkmeta.PathTopic(wr.TP.Topic), func(data []byte) ([]byte, error) {
		t, err := zkmeta.DecodeTopic(wr.TP.Topic, data)
		if err != nil {
			return nil, err
		}
		for n, a := range wr.Assignments {
			t.Partitions[n] = zkmeta.Replicas(a)
		}
		return zkmeta.EncodeTopic(t), nil
	})
	w.ended(wr, err)
}

// clearMoves removes what was moved, or cannot be, from /admin/reassign_partitions, and the znode when nothing is left.
func (w *writer) clearMoves(wr core.Write) {
	err := w.rewrite(zkmeta.PathReassignPartitions, func(data []byte) ([]byte, error) {
		wishes, err := zkmeta.DecodeReassignment(data)
		if err != nil {
			return nil, err
		}
		for _, tp := range wr.Moves {
			delete(wishes, zkmeta.TopicPartition(tp))
		}
		if len(wishes) == 0 {
			return nil, nil
		}
		return zkmeta.EncodeReassignment(wishes), nil
	})
	if errors.Is(err, zkmeta.ErrNoNode) {
		err = nil // somebody else removed it
	}
	w.ended(wr, err)
}

// rewrite changes a znode by what is in it, behind the fence, and deletes it when change returns nothing.
func (w *writer) rewrite(path string, change func([]byte) ([]byte, error)) error {
	for {
		data, st, err := w.t.zk.Get(w.t.ctx, path)
		if err != nil {
			return err
		}
		if data, err = change(data); err != nil {
			return err
		}
		op := zkmeta.Op{Kind: zkmeta.OpSet, Path: path, Data: data, Version: st.Version}
		if data == nil {
			op = zkmeta.Op{Kind: zkmeta.OpDelete, Path: path, Version: st.Version}
		}
		if _, err = w.multi([]zkmeta.Op{op}); !errors.Is(err, zkmeta.ErrBadVersion) {
			return err
		}
	}
}

// ended reports a write that either happened or did not.
func (w *writer) ended(wr core.Write, err error) {
	switch {
	case err == nil:
		w.results([]core.Result{{Write: wr, Outcome: core.Done}})
	case !errors.Is(err, context.Canceled):
		w.fail([]core.Write{wr}, err)
	}
}
