package compare

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// actor is a transactional producer in a dialogue. Ids are given out in order, so both brokers give the same.
type actor struct {
	d     *dialogue
	id    string
	pid   int64
	epoch int16
	seq   int32
}

// txnMask is what differs between runs in answers of the transaction family.
var txnMask = map[string]bool{"LogAppendTime": true, "MemberID": true, "LeaderID": true, "ClientHost": true}

// settled asks until the answer is not CONCURRENT_TRANSACTIONS, which comes and goes with the speed of a broker.
func (d *dialogue) settled(req kmsg.Request) kmsg.Response {
	req.SetVersion(max(min(d.v, newest[kmsg.Key(req.Key())]), oldest[kmsg.Key(req.Key())]))
	return d.until(req, 51)
}

func (d *dialogue) until(req kmsg.Request, passing ...int) kmsg.Response {
	for try := 0; ; try++ {
		resp, err := d.b.Ask(req)
		got := map[int]bool{}
		tree := answer(resp, err, txnMask)
		codes(tree, got)
		again := false
		for _, c := range passing {
			again = again || got[c]
		}
		if again && try < 500 {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		d.out = append(d.out, tree)
		return resp
	}
}

// once asks and keeps the first answer.
func (d *dialogue) once(req kmsg.Request) kmsg.Response {
	req.SetVersion(max(min(d.v, newest[kmsg.Key(req.Key())]), oldest[kmsg.Key(req.Key())]))
	return d.until(req)
}

func initRequest(id string, timeout int32, pid int64, epoch int16) *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = ptr(id), timeout, pid, epoch
	return r
}

// actor begins as a producer that knows nothing of a former one.
func (d *dialogue) actor(id string) *actor {
	a := &actor{d: d, id: id}
	if r, ok := d.settled(initRequest(id, 30_000, -1, -1)).(*kmsg.InitProducerIDResponse); ok {
		a.pid, a.epoch = r.ProducerID, r.ProducerEpoch
	}
	return a
}

func (a *actor) addRequest(topic string, parts ...int32) *kmsg.AddPartitionsToTxnRequest {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = a.id, a.pid, a.epoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: parts}}
	return r
}

func (a *actor) add(topic string, parts ...int32) { a.d.settled(a.addRequest(topic, parts...)) }

func (a *actor) addOffsets(group string) {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = a.id, a.pid, a.epoch, group
	a.d.settled(r)
}

func (a *actor) endRequest(commit bool) *kmsg.EndTxnRequest {
	r := kmsg.NewPtrEndTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = a.id, a.pid, a.epoch, commit
	return r
}

func (a *actor) end(commit bool) { a.d.settled(a.endRequest(commit)) }

// over waits until the markers of the transaction are everywhere: an end that is asked for again is then answered at once.
func (a *actor) over(commit bool) {
	d := &dialogue{b: a.d.b, v: a.d.v}
	d.settled(a.endRequest(commit))
}

// write appends a transactional batch to partition 0 of a topic.
func (a *actor) write(topic string, values ...string) {
	a.writeAs(topic, a.seq, 0x10, values...)
	a.seq += int32(len(values))
}

func (a *actor) writeAs(topic string, seq int32, attrs int16, values ...string) {
	r := kmsg.NewPtrProduceRequest()
	r.Acks, r.TimeoutMillis, r.TransactionID = -1, 2000, ptr(a.id)
	r.SetVersion(max(3, min(a.d.v, 8)))
	b := plain(values...).with(func(b *batch) { b.pid, b.epoch, b.seq, b.attrs = a.pid, a.epoch, seq, attrs })
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: b.encode()}}}}
	a.d.until(r)
}

func (a *actor) commitOffset(group, topic string, partition int32, offset int64, edit func(*kmsg.TxnOffsetCommitRequest)) {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch, r.Generation = a.id, group, a.pid, a.epoch, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 3, ptr("said")
	r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	if edit != nil {
		edit(r)
	}
	a.d.settled(r)
}

// marker is what a coordinator of an epoch sends.
func (a *actor) marker(topic string, coordinator int32, commit bool, parts ...int32) {
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = a.pid, a.epoch, commit, coordinator
	m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: parts}}
	r.Markers = append(r.Markers, m)
	a.d.settled(r)
}

// read fetches partition 0 of a topic from its beginning, as both isolation levels show it. Markers have times of their own, and so their
// batches a checksum: what is kept of the records is how they are framed.
func (d *dialogue) read(topic string) {
	for _, iso := range []int8{1, 0} {
		r := kmsg.NewPtrFetchRequest()
		r.ReplicaID, r.MaxBytes, r.SessionEpoch, r.IsolationLevel = -1, 1<<20, -1, iso
		r.SetVersion(max(4, min(d.v, 12)))
		r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{fetchPart(0, 0)}}}
		resp, err := d.b.Ask(r)
		if f, ok := resp.(*kmsg.FetchResponse); err == nil && ok && len(f.Topics) == 1 {
			p := &f.Topics[0].Partitions[0]
			d.out = append(d.out, frames(p.RecordBatches))
			p.RecordBatches = nil
		}
		d.out = append(d.out, answer(resp, err, txnMask))
	}
}

// frames are the headers of batches, without times and checksums.
func frames(b []byte) (list []any) {
	for len(b) >= 61 {
		h := kmsg.RecordBatch{}
		size := 12 + int(int32(uint32(b[8])<<24|uint32(b[9])<<16|uint32(b[10])<<8|uint32(b[11])))
		if size > len(b) || h.ReadFrom(b[:size]) != nil {
			return append(list, "cut")
		}
		list = append(list, []any{h.FirstOffset, h.Attributes, h.LastOffsetDelta, h.ProducerID, h.ProducerEpoch, h.FirstSequence, h.NumRecords, h.PartitionLeaderEpoch})
		b = b[size:]
	}
	return list
}

// latest asks for the end of partition 0 at both isolation levels.
func (d *dialogue) latest(topic string) {
	for _, iso := range []int8{1, 0} {
		for _, ts := range []int64{-1, past, past + 1000} {
			r := kmsg.NewPtrListOffsetsRequest()
			r.ReplicaID, r.IsolationLevel = -1, iso
			r.SetVersion(max(2, min(d.v, 5)))
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp, p.CurrentLeaderEpoch = ts, -1
			r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			resp, err := d.b.Ask(r)
			if l, ok := resp.(*kmsg.ListOffsetsResponse); err == nil && ok && len(l.Topics) == 1 && l.Topics[0].Partitions[0].Timestamp > past+1000 {
				l.Topics[0].Partitions[0].Timestamp = -2 // a marker's
			}
			d.out = append(d.out, answer(resp, err, txnMask))
		}
	}
}

// coordinated waits until a transactional id has its coordinator.
func (d *dialogue) coordinated(id string) {
	for range 400 {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.SetVersion(1)
		find.CoordinatorKey, find.CoordinatorType = id, 1
		resp, err := d.b.Ask(find)
		if f, ok := resp.(*kmsg.FindCoordinatorResponse); err == nil && ok && f.ErrorCode == 0 {
			end := kmsg.NewPtrEndTxnRequest()
			end.TransactionalID = id
			if r, err := d.b.Ask(end); err == nil && r.(*kmsg.EndTxnResponse).ErrorCode == 49 {
				return // it answers for its ids, and does not know this one
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.out = append(d.out, "no coordinator")
}

func txnCases() []Case {
	talk := func(key kmsg.Key, name string, f func(d *dialogue, id, topic string)) Case {
		return Case{Key: key, Name: name, Min: oldest[key], Do: func(b *Broker, v int16) any {
			d := &dialogue{b: b, v: v}
			id := b.topic(strings.ReplaceAll(name, " ", "-")+"-"+key.Name(), v)
			d.ready(id)
			d.coordinated(id)
			topic := b.topic("x-"+strings.ReplaceAll(name, " ", "-")+"-"+key.Name(), v)
			if _, err := b.Ask(create(5, 30_000, false, newTopic{name: topic, partitions: 3, rf: 1})); err != nil {
				d.out = append(d.out, err.Error())
			}
			f(d, id, topic)
			return d.out
		}}
	}
	before := Case{Key: kmsg.InitProducerID, Name: "before there is a coordinator", Build: func(_ *Broker, v int16) kmsg.Request {
		r := initRequest("too-early", 30_000, -1, -1)
		r.Version = v
		return r
	}}
	cases := []Case{made("prepared for transactions", "t"), before}
	for _, family := range [](func(talker) []Case){initCases, partitionCases, endCases, zombieCases, txnOffsetCases, markerCases, isolationCases} {
		cases = append(cases, family(talk)...)
	}
	return cases
}

func initCases(talk talker) []Case {
	return []Case{
		talk(kmsg.InitProducerID, "time-outs", func(d *dialogue, id, _ string) {
			for _, timeout := range []int32{0, -1, 60_000, 60_001, 1 << 30, 1} {
				d.settled(initRequest(id, timeout, -1, -1))
			}
			d.settled(initRequest("", 1000, -1, -1))
			d.settled(initRequest("", -1, -1, -1))
		}),
		talk(kmsg.InitProducerID, "again and again", func(d *dialogue, id, t string) {
			for range 3 {
				d.actor(id)
			}
			a := d.actor(id)
			a.add(t, 0)
			a.write(t, "one")
			d.once(initRequest(id, 30_000, -1, -1)) // fences and aborts
			d.settled(initRequest(id, 30_000, -1, -1))
			a.end(true)
			a.write(t, "late")
			d.read(t)
		}),
		talk(kmsg.InitProducerID, "going on after an error", func(d *dialogue, id, t string) {
			if d.v < 3 {
				return
			}
			d.settled(initRequest(id, 30_000, 12345, 3)) // a new id: whatever is expected is fine
			a := d.actor(id)
			d.settled(initRequest(id, 30_000, a.pid, a.epoch))   // bumped
			d.settled(initRequest(id, 30_000, a.pid, a.epoch))   // its answer was lost
			d.settled(initRequest(id, 30_000, a.pid, a.epoch+1)) // bumped again
			d.settled(initRequest(id, 30_000, a.pid, a.epoch))   // that is too late now
			d.settled(initRequest(id, 30_000, a.pid+1, a.epoch))
			d.settled(initRequest(id, 30_000, a.pid, a.epoch+5))
			d.settled(initRequest(id, 30_000, a.pid, -1))
			d.settled(initRequest(id, 30_000, -1, 5))
			d.settled(initRequest(id, 30_000, -1, -1)) // a new producer: the old one's last epoch is forgotten
			d.settled(initRequest(id, 30_000, a.pid, a.epoch+2))
		}),
		talk(kmsg.InitProducerID, "going on in a transaction", func(d *dialogue, id, t string) {
			if d.v < 3 {
				return
			}
			a := d.actor(id)
			a.add(t, 0, 1)
			a.write(t, "one", "two")
			d.once(initRequest(id, 30_000, a.pid, a.epoch))
			d.settled(initRequest(id, 30_000, a.pid, a.epoch))
			d.settled(initRequest(id, 30_000, a.pid, a.epoch+1))
			d.read(t)
		}),
	}
}

func partitionCases(talk talker) []Case {
	return []Case{
		talk(kmsg.AddPartitionsToTxn, "usual", func(d *dialogue, id, t string) {
			a := d.actor(id)
			a.add(t, 0)
			a.add(t, 0)
			a.add(t, 0, 1, 2, 2)
			r := a.addRequest(t)
			d.settled(r)
			r.Topics = nil
			d.settled(r)
			a.end(true)
			a.end(true)
			a.add(t, 1)
			a.end(false)
			a.end(false)
		}),
		talk(kmsg.AddPartitionsToTxn, "refused", func(d *dialogue, id, t string) {
			stranger := &actor{d: d, id: id, pid: 99, epoch: 0}
			stranger.add(t, 0)
			a := d.actor(id)
			a.add("never-there", 0)
			a.add(t, 0, 9, -1)
			a.add("__consumer_offsets", 0)
			a.add("__transaction_state", 0)
			r := a.addRequest(t, 0)
			r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "__consumer_offsets", Partitions: []int32{0}},
				kmsg.AddPartitionsToTxnRequestTopic{Topic: "never-there", Partitions: []int32{0}})
			d.settled(r)
			(&actor{d: d, id: id, pid: a.pid + 1, epoch: a.epoch}).add(t, 0)
			(&actor{d: d, id: id, pid: a.pid, epoch: a.epoch + 1}).add(t, 0)
			(&actor{d: d, id: id, pid: a.pid, epoch: -1}).add(t, 0)
			(&actor{d: d, id: "", pid: a.pid, epoch: a.epoch}).add(t, 0)
			(&actor{d: d, id: "", pid: a.pid, epoch: a.epoch}).add("never-there", 0)
			d.actor(id)
			a.add(t, 0)
		}),
		talk(kmsg.AddPartitionsToTxn, "of nothing", func(d *dialogue, id, t string) {
			a := d.actor(id)
			r := a.addRequest(t)
			r.Topics = nil
			d.settled(r)
			a.end(true)
			a.end(true)
		}),
		talk(kmsg.AddOffsetsToTxn, "all", func(d *dialogue, id, t string) {
			a := d.actor(id)
			a.addOffsets("g-" + id)
			a.addOffsets("g-" + id)
			a.addOffsets("")
			(&actor{d: d, id: id, pid: a.pid + 1, epoch: a.epoch}).addOffsets("g")
			(&actor{d: d, id: id, pid: a.pid, epoch: a.epoch + 1}).addOffsets("g")
			(&actor{d: d, id: "", pid: a.pid, epoch: a.epoch}).addOffsets("g")
			(&actor{d: d, id: id + "-stranger", pid: a.pid, epoch: a.epoch}).addOffsets("g")
			a.end(false)
			a.end(false)
		}),
	}
}

func endCases(talk talker) []Case {
	return []Case{
		talk(kmsg.EndTxn, "in every state", func(d *dialogue, id, t string) {
			stranger := &actor{d: d, id: id, pid: 99, epoch: 0}
			stranger.end(true)
			a := d.actor(id)
			a.end(true) // nothing was begun
			a.end(false)
			a.add(t, 0)
			a.end(true)
			a.end(true) // the answer was lost
			a.end(false)
			a.add(t, 0)
			a.end(false)
			a.end(false)
			a.end(true)
			(&actor{d: d, id: id, pid: a.pid + 1, epoch: a.epoch}).end(true)
			(&actor{d: d, id: id, pid: a.pid, epoch: a.epoch + 1}).end(true)
			(&actor{d: d, id: id, pid: a.pid, epoch: a.epoch - 1}).end(true)
			(&actor{d: d, id: "", pid: a.pid, epoch: a.epoch}).end(true)
			d.actor(id)
			a.end(true)
		}),
		talk(kmsg.EndTxn, "of a deleted topic", func(d *dialogue, id, t string) {
			a := d.actor(id)
			a.add(t, 0, 1)
			a.write(t, "one")
			del := kmsg.NewPtrDeleteTopicsRequest()
			del.TopicNames, del.TimeoutMillis = []string{t}, 10_000
			d.settled(del)
			a.end(true)
			a.end(true)
			d.actor(id)
		}),
	}
}

// zombieCases write with producers that are fenced, expired or not in a transaction.
func zombieCases(talk talker) []Case {
	return []Case{
		talk(kmsg.Produce, "transactional", func(d *dialogue, id, t string) {
			if d.v < 3 {
				return
			}
			a := d.actor(id)
			a.add(t, 0)
			a.write(t, "one", "two")
			a.writeAs(t, 0, 0x10, "one", "two") // its answer was lost
			a.writeAs(t, 9, 0x10, "a gap")
			a.writeAs(t, 2, 0, "not transactional within the transaction")
			a.write(t, "three")
			next := d.actor(id)
			a.writeAs(t, 3, 0x10, "a zombie")
			next.add(t, 0)
			next.write(t, "four")
			next.end(true)
			next.over(true)
			a.writeAs(t, 0, 0x10, "a zombie")
			next.writeAs(t, 1, 0, "not transactional, outside")
			d.read(t)
			d.latest(t)
		}),
		talk(kmsg.Produce, "transaction that times out", func(d *dialogue, id, t string) {
			if d.v != 8 {
				return
			}
			a := &actor{d: d, id: id}
			if r, ok := d.settled(initRequest(id, 300, -1, -1)).(*kmsg.InitProducerIDResponse); ok {
				a.pid, a.epoch = r.ProducerID, r.ProducerEpoch
			}
			a.add(t, 0)
			a.write(t, "one")
			// The end of the wait is that the producer is fenced, which a time of its own cannot tell.
			for range 200 {
				probe := &dialogue{b: d.b, v: 2}
				if r, ok := probe.settled(a.addRequest(t, 0)).(*kmsg.AddPartitionsToTxnResponse); ok && r.Topics[0].Partitions[0].ErrorCode != 0 {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			a.add(t, 0)
			a.end(true)
			next := d.actor(id)
			next.end(false)
			a.write(t, "two")
			d.read(t)
		}),
	}
}

func txnOffsetCases(talk talker) []Case {
	part := func(topic string, ps ...int32) kmsg.OffsetFetchRequestTopic {
		return kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: ps}
	}
	member := func(id string, generation int32, instance *string) func(*kmsg.TxnOffsetCommitRequest) {
		return func(r *kmsg.TxnOffsetCommitRequest) {
			r.MemberID, r.Generation, r.InstanceID = id, generation, instance
		}
	}
	return []Case{
		talk(kmsg.TxnOffsetCommit, "named twice", func(d *dialogue, id, t string) {
			a := d.actor(id)
			a.addOffsets(id)
			a.commitOffset(id, t, 0, 7, func(r *kmsg.TxnOffsetCommitRequest) {
				again := r.Topics[0].Partitions[0]
				again.Offset = 8
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, again)
				r.Topics = append(r.Topics, r.Topics[0], kmsg.TxnOffsetCommitRequestTopic{Topic: "of nothing"})
			})
			a.end(true)
			a.over(true)
			d.fetch(id, true, part(t, 0))
		}),
		talk(kmsg.TxnOffsetCommit, "pending until the marker", func(d *dialogue, id, t string) {
			g, a := id, d.actor(id)
			for _, commit := range []bool{true, false, true} {
				a.addOffsets(g)
				a.commitOffset(g, t, 0, 7+int64(len(d.out)), nil)
				a.commitOffset(g, t, 1, 8, nil)
				d.fetch(g, true, part(t, 0, 1, 2))
				d.fetch(g, false, part(t, 0, 1, 2))
				a.end(commit)
				a.end(commit) // answered when all is over
				d.stable(g, t)
				d.fetch(g, true, part(t, 0, 1, 2))
			}
			d.commit(g, "", -1, t, 0, 99, nil)
			a.addOffsets(g)
			a.commitOffset(g, t, 0, 5, nil)
			d.commit(g, "", -1, t, 0, 100, nil) // younger than the transaction's
			a.end(true)
			a.end(true)
			d.stable(g, t)
			d.fetch(g, true, part(t, 0))
			d.deleteGroups(g)
		}),
		talk(kmsg.TxnOffsetCommit, "refused", func(d *dialogue, id, t string) {
			a := d.actor(id)
			a.commitOffset("", t, 0, 1, nil)
			a.commitOffset(id, "never-there", 0, 1, nil)
			a.commitOffset(id, t, 9, 1, nil)
			a.commitOffset(id, t, 0, 1, func(r *kmsg.TxnOffsetCommitRequest) {
				r.Topics[0].Partitions[0].Metadata = ptr(strings.Repeat("x", 5000))
			})
			a.commitOffset(id, t, 0, 1, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = nil })
			a.commitOffset(id, t, 0, 1, func(r *kmsg.TxnOffsetCommitRequest) { r.Topics = nil })
			a.commitOffset(id, t, 0, 1, nil) // without AddOffsetsToTxn
			d.describe(id)
			a.commitOffset(id, t, 0, 1, member("stranger", 3, nil))
			a.commitOffset(id, t, 0, 1, member("", 3, nil))
			a.commitOffset(id, t, 0, 1, member("", 0, nil))
			a.commitOffset(id, t, 0, 1, func(r *kmsg.TxnOffsetCommitRequest) { r.ProducerID, r.ProducerEpoch = -1, -1 })
			d.fetch(id, true, part(t, 0))
			a.marker("__consumer_offsets", 0, false, 0, 1, 2)
			d.stable(id, t)
			d.fetch(id, true, part(t, 0))
			d.deleteGroups(id)
		}),
		talk(kmsg.TxnOffsetCommit, "of members", func(d *dialogue, id, t string) {
			if d.v < 3 {
				return
			}
			g, one := id, ptr("one")
			m, gen := d.member(g, one)
			a := d.actor(id)
			a.addOffsets(g)
			a.commitOffset(g, t, 0, 1, member(m, gen, one))
			a.commitOffset(g, t, 0, 2, member(m, gen+1, one))
			a.commitOffset(g, t, 0, 2, member(m, gen-1, one))
			a.commitOffset(g, t, 0, 2, member("stranger", gen, nil))
			a.commitOffset(g, t, 0, 2, member("stranger", gen, one))
			a.commitOffset(g, t, 0, 2, member("", -1, nil))
			a.end(true)
			a.end(true)
			d.stable(g, t)
			d.fetch(g, true, part(t, 0))
			d.deleteGroups(g)
		}),
	}
}

// member joins a group as a static member, in the newest versions, and syncs.
func (d *dialogue) member(group string, instance *string) (string, int32) {
	v := d.v
	d.v = 7
	defer func() { d.v = v }()
	id, gen := d.enter(group, instance)
	d.sync(group, id, gen, id)
	return id, gen
}

// stable waits until no offset of a group is pending: Kafka lets them count a moment after the marker.
func (d *dialogue) stable(group, topic string) {
	for range 200 {
		r := kmsg.NewPtrOffsetFetchRequest()
		r.SetVersion(7)
		r.Group, r.RequireStable = group, true
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0, 1, 2}}}
		resp, err := d.b.Ask(r)
		got := map[int]bool{}
		codes(answer(resp, err, txnMask), got)
		if !got[88] {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func markerCases(talk talker) []Case {
	return []Case{
		talk(kmsg.WriteTxnMarkers, "all", func(d *dialogue, id, t string) {
			d.actor(id)
			a := d.actor(id) // in its second epoch
			a.add(t, 0)
			a.write(t, "one")
			a.marker(t, 5, false, 0, 1, 9) // also where nothing was written, and where nothing is
			a.marker(t, 4, true, 0)        // from a coordinator that is deposed
			a.marker(t, 5, true, 0)
			a.marker(t, -1, true, 0)
			a.marker("never-there", 5, true, 0)
			old := &actor{d: d, id: id, pid: a.pid, epoch: a.epoch - 1}
			old.marker(t, 5, true, 0)
			newer := &actor{d: d, id: id, pid: a.pid, epoch: a.epoch + 3}
			newer.marker(t, 6, false, 0)
			a.marker(t, 6, true, 0)
			a.write(t, "two") // its epoch is over
			nobody := &actor{d: d, id: id, pid: 424242, epoch: 0}
			nobody.marker(t, 0, true, 2)
			old1 := d.b.topic("old-format-"+id, 0)
			if _, err := d.b.Ask(create(5, 30_000, false, newTopic{name: old1, partitions: 1, rf: 1, config: map[string]*string{"message.format.version": ptr("0.10.2")}})); err != nil {
				d.out = append(d.out, err.Error())
			}
			a.marker(old1, 7, true, 0)
			r := kmsg.NewPtrWriteTxnMarkersRequest()
			d.settled(r)
			m := kmsg.NewWriteTxnMarkersRequestMarker()
			m.ProducerID = 7
			r.Markers = []kmsg.WriteTxnMarkersRequestMarker{m}
			d.settled(r)
			two := m
			m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: t, Partitions: []int32{0}}}
			two.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: t, Partitions: []int32{1}}}
			r.Markers = []kmsg.WriteTxnMarkersRequestMarker{m, two}
			d.settled(r)
			d.read(t)
		}),
	}
}

func isolationCases(talk talker) []Case {
	story := func(d *dialogue, id, t string, look func()) {
		a, b := d.actor(id), d.actor(id+"-other")
		look()
		a.add(t, 0)
		b.add(t, 0)
		a.write(t, "a1", "a2")
		look()
		b.write(t, "b1")
		a.end(true)
		a.over(true)
		look() // the other is still open
		b.end(false)
		b.over(false)
		look()
		a.add(t, 0)
		a.write(t, "a3")
		a.end(false)
		a.over(false)
		b.add(t, 0)
		b.write(t, "b2")
		look()
		b.end(true)
		b.over(true)
		look()
	}
	return []Case{
		talk(kmsg.Fetch, "transactions as isolation levels show them", func(d *dialogue, id, t string) {
			if d.v < 4 {
				return
			}
			story(d, id, t, func() { d.read(t) })
			for _, at := range []int64{1, 2, 3, 5, 6, 8} {
				r := kmsg.NewPtrFetchRequest()
				r.ReplicaID, r.MaxBytes, r.SessionEpoch, r.IsolationLevel = -1, 1<<20, -1, 1
				r.Topics = []kmsg.FetchRequestTopic{{Topic: t, Partitions: []kmsg.FetchRequestTopicPartition{fetchPart(0, at)}}}
				r.SetVersion(d.v)
				resp, err := d.b.Ask(r)
				if f, ok := resp.(*kmsg.FetchResponse); err == nil && ok && len(f.Topics) == 1 {
					f.Topics[0].Partitions[0].RecordBatches = nil
				}
				d.out = append(d.out, answer(resp, err, txnMask))
			}
		}),
		talk(kmsg.ListOffsets, "transactions as isolation levels show them", func(d *dialogue, id, t string) {
			if d.v < 2 {
				return
			}
			story(d, id, t, func() { d.latest(t) })
		}),
		talk(kmsg.FindCoordinator, "of transactions", func(d *dialogue, id, _ string) {
			for _, kind := range []int8{0, 1} {
				if d.v == 0 && kind > 0 {
					continue
				}
				for _, key := range []string{id, ""} {
					r := kmsg.NewPtrFindCoordinatorRequest()
					r.CoordinatorKey, r.CoordinatorType = key, kind
					d.settled(r)
				}
			}
		}),
	}
}
