package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/controller/core"
	"gregor/zkmeta"
)

// term is one period of being the controller. Only the loop uses it; its writers and channels send their results to the loop.
type term struct {
	c        *Controller
	zk       *zkmeta.Client
	ctx      context.Context
	cancel   context.CancelFunc
	epoch    zkmeta.ControllerEpoch
	core     *core.State
	writer   *writer
	channels map[int32]*channel
	brokers  map[int32]core.Broker
}

func newTerm(ctx context.Context, c *Controller, epoch zkmeta.ControllerEpoch) *term {
	t := &term{c: c, zk: c.opt.ZK, epoch: epoch, channels: map[int32]*channel{}, brokers: map[int32]core.Broker{}}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.core = core.New(core.Config{BrokerID: c.opt.BrokerID, DeleteTopics: c.opt.Config.DeleteTopics, Unclean: c.unclean.Load()})
	t.writer = newWriter(t)
	return t
}

func (t *term) end() {
	t.cancel()
	for _, ch := range t.channels {
		ch.stop()
	}
}

// start reads everything, and watches it.
func (t *term) start() error {
	if !t.c.opt.Config.NoFeatures {
		if err := t.zk.EnableFeatures(t.ctx); err != nil {
			return fmt.Errorf("set up %s: %w", zkmeta.PathFeature, err)
		}
	}
	// Notifications of the time before are of no use: everything is read now. They are listed after the watch is set.
	for _, dir := range []string{zkmeta.PathIsrChangeNotification, zkmeta.PathLogDirEventNotification} {
		names, err := t.list(dir)
		if err != nil {
			return err
		}
		t.drop(dir, names)
	}
	brokers, err := t.readBrokers()
	if err != nil {
		return err
	}
	names, _, err := t.zk.ChildrenW(t.ctx, zkmeta.PathTopics)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	topics, err := t.readTopics(names)
	if err != nil {
		return err
	}
	if err := t.readStates(topics); err != nil {
		return err
	}
	deleting, err := t.list(zkmeta.PathDeleteTopics)
	if err != nil {
		return err
	}
	t.connect(brokers)
	t.apply(core.Elected{Epoch: t.epoch.Epoch, Brokers: brokers, Topics: topics, Deleting: deleting})
	t.preferredElection()
	t.wishedMoves()
	t.balanceLater()
	return nil
}

// list lists a znode's children and watches for others; a znode that is not there has none.
func (t *term) list(path string) ([]string, error) {
	names, _, err := t.zk.ChildrenW(t.ctx, path)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", path, err)
	}
	return names, nil
}

// drop removes notifications that were read.
func (t *term) drop(dir string, names []string) {
	for len(names) > 0 {
		n := min(len(names), 500)
		ops := []zkmeta.Op{t.epoch.Check()}
		for _, name := range names[:n] {
			ops = append(ops, zkmeta.Op{Kind: zkmeta.OpDelete, Path: dir + "/" + name, Version: zkmeta.AnyVersion})
		}
		if _, err := t.zk.Multi(t.ctx, ops); err != nil && t.ctx.Err() == nil {
			t.c.opt.Log.Warnf("remove notifications below %s: %v", dir, err)
		}
		names = names[n:]
	}
}

func (t *term) readBrokers() ([]core.Broker, error) {
	ids, err := t.zk.BrokerIDsW(t.ctx)
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	var out []core.Broker
	for _, id := range ids {
		b, err := t.zk.BrokerW(t.ctx, id)
		switch {
		case errors.Is(err, zkmeta.ErrNoNode): // gone meanwhile: its event comes
			continue
		case t.ctx.Err() != nil:
			return nil, t.ctx.Err()
		case err != nil:
			t.c.opt.Log.Errorf("broker %d is left out: %v", id, err)
			continue
		}
		cb := core.Broker{ID: b.ID, Epoch: b.Epoch, Rack: b.Rack, PowerLost: b.PowerLost}
		for _, e := range b.Endpoints {
			cb.Endpoints = append(cb.Endpoints, core.Endpoint(e))
		}
		out = append(out, cb)
	}
	return out, nil
}

// readTopics reads assignments, and watches them, and configurations. A topic that cannot be understood is left out.
func (t *term) readTopics(names []string) ([]core.Topic, error) {
	infos, err := t.zk.TopicsW(t.ctx, names)
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	here := make([]string, len(infos))
	for i := range infos {
		here[i] = infos[i].Name
	}
	configs, err := t.zk.TopicConfigs(t.ctx, here)
	if err != nil {
		return nil, fmt.Errorf("read the configurations of topics: %w", err)
	}
	out := make([]core.Topic, 0, len(infos))
	for i := range infos {
		ct := coreTopic(infos[i])
		ct.Unclean = uncleanOf(configs[ct.Name])
		out = append(out, ct)
	}
	return out, nil
}

func coreTopic(in zkmeta.TopicInfo) core.Topic {
	out := core.Topic{Name: in.Name, Partitions: make(map[int32]core.Assignment, len(in.Partitions))}
	for n, r := range in.Partitions {
		out.Partitions[n] = core.Assignment(r)
	}
	return out
}

func (t *term) readStates(topics []core.Topic) error {
	var tps []zkmeta.TopicPartition
	at := make(map[string]int, len(topics))
	for i := range topics {
		at[topics[i].Name] = i
		topics[i].States = make(map[int32]core.Leadership, len(topics[i].Partitions))
		topics[i].Written = make(map[int32]int64, len(topics[i].Partitions))
		for n := range topics[i].Partitions {
			tps = append(tps, zkmeta.TopicPartition{Topic: topics[i].Name, Partition: n})
		}
	}
	states, err := t.zk.PartitionStates(t.ctx, tps)
	if err != nil {
		return fmt.Errorf("read partition states: %w", err)
	}
	for tp, st := range states {
		topic := &topics[at[tp.Topic]]
		topic.States[tp.Partition], topic.Written[tp.Partition] = coreLeadership(st), st.Written
	}
	return nil
}

func coreLeadership(s zkmeta.PartitionState) core.Leadership {
	return core.Leadership{Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, ISR: s.ISR, ControllerEpoch: s.ControllerEpoch, Version: s.Version}
}

// connect keeps one channel for each registration of a broker.
func (t *term) connect(brokers []core.Broker) {
	now := make(map[int32]core.Broker, len(brokers))
	for _, b := range brokers {
		now[b.ID] = b
	}
	for id, ch := range t.channels {
		if b, ok := now[id]; !ok || b.Epoch != ch.epoch {
			ch.stop()
			delete(t.channels, id)
		} else {
			ch.moved(b)
		}
	}
	for id, b := range now {
		if t.channels[id] == nil {
			t.channels[id] = newChannel(t, b)
		}
	}
	t.brokers = now
}

// apply lets the core decide, and starts what it planned.
func (t *term) apply(ev core.Event) {
	plan := t.core.Apply(ev)
	if m := t.c.opt.Metrics; m != nil {
		m.UncleanElections.Add(int64(plan.Unclean))
	}
	for _, n := range plan.Notes {
		if n.Warn {
			t.c.opt.Log.Warnf("[Controller id=%d epoch=%d] %s", t.c.opt.BrokerID, t.epoch.Epoch, n.Text)
		} else {
			t.c.opt.Log.Infof("[Controller id=%d epoch=%d] %s", t.c.opt.BrokerID, t.epoch.Epoch, n.Text)
		}
	}
	for _, r := range plan.Requests {
		if ch := t.channels[r.Broker]; ch != nil && ch.epoch == r.BrokerEpoch {
			ch.send(r)
		}
	}
	t.writer.write(plan.Writes)
	for _, a := range plan.Answers {
		t.c.asks.answer(a)
	}
}

// happened takes in an event that is no change of ZooKeeper's.
func (t *term) happened(ev core.Event) {
	t.apply(ev)
	done, ok := ev.(core.WritesDone)
	if !ok {
		return
	}
	t.logChanges(done.Results)
	for _, r := range done.Results {
		if r.Write.Kind == core.DeleteTopic {
			// Its name may have been taken again while the core still held the old topic for the one that is there.
			t.retryUnless(t.topicsChanged(), func() { t.retryUnless(t.topicsChanged(), t.refresh) })
			return
		}
	}
}

// changed reads again what an event is about.
func (t *term) changed(ev zkmeta.Event) {
	var err error
	switch path := ev.Path; {
	case strings.HasPrefix(path, zkmeta.PathBrokerIDs):
		err = t.brokersChanged()
	case path == zkmeta.PathTopics:
		err = t.topicsChanged()
	case path == zkmeta.PathDeleteTopics:
		err = t.deletionsChanged()
	case path == zkmeta.PathIsrChangeNotification:
		err = t.isrChanged()
	case path == zkmeta.PathLogDirEventNotification:
		err = t.logDirsFailed()
	case path == zkmeta.PathPreferredReplicaElect:
		t.preferredElection()
	case path == zkmeta.PathReassignPartitions:
		t.wishedMoves()
	case strings.HasPrefix(path, zkmeta.PathTopics+"/") && ev.Kind == zkmeta.DataChanged:
		err = t.topicChanged(strings.TrimPrefix(path, zkmeta.PathTopics+"/"))
	}
	t.retryUnless(err, func() { t.changed(ev) })
}

// retryUnless tries f again in a while if err says that ZooKeeper did not do what it should.
func (t *term) retryUnless(err error, f func()) {
	if err == nil || t.ctx.Err() != nil {
		return
	}
	t.c.opt.Log.Errorf("[Controller id=%d epoch=%d] tried again: %v", t.c.opt.BrokerID, t.epoch.Epoch, err)
	t.c.later(func(context.Context) {
		if t.c.term == t {
			f()
		}
	})
}

// refresh reads everything again after a reconnect: events may have been lost, and all watches are to be set anew.
func (t *term) refresh() {
	err := t.brokersChanged()
	if err == nil {
		err = t.topicsChanged()
	}
	if err == nil {
		err = t.rereadTopics()
	}
	if err == nil {
		err = t.deletionsChanged()
	}
	if err == nil {
		err = t.isrChanged()
	}
	if err == nil {
		err = t.logDirsFailed()
	}
	if err == nil {
		t.preferredElection()
		t.wishedMoves()
	}
	t.retryUnless(err, t.refresh)
}

func (t *term) brokersChanged() error {
	brokers, err := t.readBrokers()
	if err != nil {
		return err
	}
	t.connect(brokers)
	t.apply(core.BrokersChanged{Brokers: brokers})
	return nil
}

func (t *term) topicsChanged() error {
	names, _, err := t.zk.ChildrenW(t.ctx, zkmeta.PathTopics)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	fresh, err := t.readTopics(t.core.Unknown(names))
	if err != nil {
		return err
	}
	t.apply(core.TopicsChanged{Names: names, New: fresh})
	return nil
}

func (t *term) rereadTopics() error {
	names, err := t.zk.Topics(t.ctx)
	if err != nil {
		return err
	}
	infos, err := t.zk.TopicsW(t.ctx, names)
	if err != nil {
		return err
	}
	for _, in := range infos {
		t.apply(core.TopicChanged{Topic: coreTopic(in)})
	}
	return nil
}

func (t *term) topicChanged(name string) error {
	infos, err := t.zk.TopicsW(t.ctx, []string{name})
	if err != nil {
		return err
	}
	for _, in := range infos {
		if len(t.core.Unknown([]string{name})) > 0 { // it could not be understood before
			return t.topicsChanged()
		}
		t.apply(core.TopicChanged{Topic: coreTopic(in)})
	}
	return nil
}

func (t *term) deletionsChanged() error {
	names, err := t.list(zkmeta.PathDeleteTopics)
	if err != nil || len(names) == 0 {
		return err
	}
	// A topic may have been made and its deletion asked for since the topics were listed.
	if len(t.core.Unknown(names)) > 0 {
		if err := t.topicsChanged(); err != nil {
			return err
		}
	}
	t.apply(core.DeletionsChanged{Topics: names})
	return nil
}

func (t *term) isrChanged() error {
	names, err := t.list(zkmeta.PathIsrChangeNotification)
	if err != nil || len(names) == 0 {
		return err
	}
	paths := make([]string, len(names))
	for i, n := range names {
		paths[i] = zkmeta.PathIsrChangeNotification + "/" + n
	}
	nodes, err := t.zk.GetMany(t.ctx, paths)
	if err != nil {
		return err
	}
	var tps []zkmeta.TopicPartition
	for i, n := range nodes {
		if n.Err != nil {
			continue
		}
		ps, err := zkmeta.DecodeIsrChange(n.Data)
		if err != nil {
			t.c.opt.Log.Errorf("%s is ignored: %v", paths[i], err)
			continue
		}
		tps = append(tps, ps...)
	}
	states, err := t.zk.PartitionStates(t.ctx, tps)
	if err != nil {
		return err
	}
	ev := core.StatesRead{States: make(map[core.TP]core.Leadership, len(states))}
	for tp, st := range states {
		ev.States[core.TP(tp)] = coreLeadership(st)
	}
	t.apply(ev)
	t.drop(zkmeta.PathIsrChangeNotification, names)
	return nil
}

func (t *term) logDirsFailed() error {
	names, err := t.list(zkmeta.PathLogDirEventNotification)
	if err != nil || len(names) == 0 {
		return err
	}
	failed := map[int32]bool{}
	for _, n := range names {
		path := zkmeta.PathLogDirEventNotification + "/" + n
		data, _, err := t.zk.Get(t.ctx, path)
		if errors.Is(err, zkmeta.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		id, err := zkmeta.DecodeLogDirEvent(data)
		if err != nil {
			t.c.opt.Log.Errorf("%s is ignored: %v", path, err)
			continue
		}
		failed[id] = true
	}
	for id := range failed {
		t.apply(core.LogDirFailed{Broker: id})
	}
	t.drop(zkmeta.PathLogDirEventNotification, names)
	return nil
}

// preferredElection does what /admin/preferred_replica_election asks for, and removes it.
func (t *term) preferredElection() {
	data, _, err := t.zk.GetW(t.ctx, zkmeta.PathPreferredReplicaElect)
	if errors.Is(err, zkmeta.ErrNoNode) || t.ctx.Err() != nil {
		return
	}
	if err != nil {
		t.retryUnless(err, t.preferredElection)
		return
	}
	tps, err := zkmeta.DecodePreferredElection(data)
	if err != nil {
		t.c.opt.Log.Errorf("ignored: %v", err)
	}
	ev := core.ElectPreferred{}
	for _, tp := range tps {
		ev.Partitions = append(ev.Partitions, core.TP(tp))
	}
	t.apply(ev)
	_, err = t.zk.Multi(t.ctx, []zkmeta.Op{t.epoch.Check(), {Kind: zkmeta.OpDelete, Path: zkmeta.PathPreferredReplicaElect, Version: zkmeta.AnyVersion}})
	if err != nil && !errors.Is(err, zkmeta.ErrNoNode) && t.ctx.Err() == nil {
		t.c.opt.Log.Warnf("remove %s: %v", zkmeta.PathPreferredReplicaElect, err)
	}
}

// wishedMoves begins what /admin/reassign_partitions asks for. The core removes each partition from it when it has moved.
func (t *term) wishedMoves() {
	data, _, err := t.zk.GetW(t.ctx, zkmeta.PathReassignPartitions)
	if errors.Is(err, zkmeta.ErrNoNode) || t.ctx.Err() != nil {
		return
	}
	if err != nil {
		t.retryUnless(err, t.wishedMoves)
		return
	}
	wishes, err := zkmeta.DecodeReassignment(data)
	if err != nil {
		t.c.opt.Log.Errorf("[Controller id=%d epoch=%d] ignored, remove it to go on: %v", t.c.opt.BrokerID, t.epoch.Epoch, err)
		return
	}
	ev := core.Reassign{Znode: true}
	for tp, replicas := range wishes {
		if replicas == nil {
			replicas = []int32{} // not a wish to cancel: a wish that cannot be fulfilled
		}
		ev.Targets = append(ev.Targets, core.Target{TP: core.TP(tp), Replicas: replicas})
	}
	slices.SortFunc(ev.Targets, func(a, b core.Target) int { return strings.Compare(a.TP.String(), b.TP.String()) })
	t.apply(ev)
}

// balanceLater elects preferred leaders from time to time, as auto.leader.rebalance.enable says.
func (t *term) balanceLater() {
	cfg := &t.c.opt.Config
	if !cfg.AutoBalance {
		return
	}
	timer := time.AfterFunc(cfg.BalanceInterval, func() {
		t.c.queue.put(retry{func(context.Context) {
			if t.c.term == t {
				t.apply(core.Balance{Percentage: cfg.BalancePercentage})
				t.balanceLater()
			}
		}})
	})
	context.AfterFunc(t.ctx, func() { timer.Stop() })
}

// address is where the controller reaches a broker.
func (c *Controller) address(b core.Broker) (string, error) {
	host, port, err := endpointOf(b, c.opt.Config.Listener)
	if err != nil {
		return "", err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port)), nil
}

func endpointOf(b core.Broker, listener string) (string, int32, error) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e.Host, e.Port, nil
		}
	}
	return "", 0, fmt.Errorf("broker %d has no listener %s, through which the controller reaches brokers", b.ID, listener)
}
