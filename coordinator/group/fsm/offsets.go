package fsm

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TP is a partition that a group reads.
type TP struct {
	Topic     string
	Partition int32
}

func (a TP) compare(b TP) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// Offset is a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // -1 if the client did not say
	Metadata    string
	CommitTime  int64
	ExpireTime  int64 // -1: as the group's retention says
	// Position is where the batch of its record begins in the group's log: of two offsets the one with the larger counts.
	Position int64
}

// Commit is one partition of a commit.
type Commit struct {
	TP
	Offset Offset
	Code   int16 // filled in
}

type offsets struct {
	// committed are the group's own: what is put there is copied.
	committed map[TP]*Offset
	// pending are the partitions with a record that is in the log and not committed yet: the latest write of each.
	pending map[TP]*Write
	// txn are those in open transactions, by producer.
	txn map[int64]map[TP]*Offset
}

func (o *offsets) any() bool { return len(o.committed) > 0 || len(o.pending) > 0 || len(o.txn) > 0 }

// put keeps a copy of an offset and of its metadata, unless it has a younger one. The topic's name is kept as it is.
func (o *offsets) put(tp TP, off *Offset) {
	was := o.committed[tp]
	switch {
	case was == nil:
		if o.committed == nil {
			o.committed = map[TP]*Offset{}
		}
		was = new(Offset)
		o.committed[tp] = was
	case was.Position > off.Position:
		return
	}
	metadata := was.Metadata
	if metadata != off.Metadata {
		metadata = strings.Clone(off.Metadata)
	}
	*was = *off
	was.Metadata = metadata
}

// OffsetCommit is an OffsetCommit request. It is the group's from Commit until its waiter is answered, and may be used again then. Of its
// strings the group keeps the names of topics and nothing else.
type OffsetCommit struct {
	MemberID   string
	Instance   *string
	Generation int32
	Commits    []Commit

	write Write
}

// Commit takes an OffsetCommit request. The Code of each partition is filled in when the waiter is answered.
func (g *Group) Commit(now int64, q *OffsetCommit, w Waiter, out *Out) {
	if code := g.mayCommit(now, q.MemberID, q.Instance, q.Generation, out); code != 0 {
		refuse(q.Commits, code, w, out)
		return
	}
	write := &q.write
	*write = Write{Txn: NoTxn, Offsets: write.Offsets[:0], commits: q.Commits, waiter: w}
	g.store(write, out)
}

func refuse(commits []Commit, code int16, w Waiter, out *Out) {
	for i := range commits {
		commits[i].Code = code
	}
	out.Replies = append(out.Replies, Reply{To: w, Code: code})
}

// Txn is the transaction that offsets are committed in.
type Txn struct {
	Producer int64
	Epoch    int16
}

// NoTxn is none.
var NoTxn = Txn{Producer: -1, Epoch: -1}

// CommitTxn takes a TxnOffsetCommit request: what it commits is pending until EndTxn, once its record is in the log. Member and generation
// are checked as far as they are given (KIP-447). The Code of each partition is filled in when the waiter is answered.
func (g *Group) CommitTxn(memberID string, instance *string, generation int32, txn Txn, commits []Commit, w Waiter, out *Out) {
	code := int16(0)
	switch {
	case g.state == Dead:
		code = kerr.CoordinatorNotAvailable.Code
	case g.fenced(memberID, instance):
		code = kerr.FencedInstanceID.Code
	case memberID != "" && g.members[memberID] == nil:
		code = kerr.UnknownMemberID.Code
	case generation >= 0 && generation != g.generation:
		code = kerr.IllegalGeneration.Code
	}
	if code != 0 {
		refuse(commits, code, w, out)
		return
	}
	write := &Write{Txn: txn, commits: commits, waiter: w}
	// What is in the log is the transaction's, whatever its client is told of it.
	write.appended = func(position int64) {
		for i := range write.Offsets {
			off := *write.Offsets[i].Offset
			off.Position = position
			g.SetPendingTxn(txn.Producer, write.Offsets[i].TP, &off)
		}
	}
	g.store(write, out)
}

// store has the offsets of a request recorded, those with too much metadata excepted.
func (g *Group) store(write *Write, out *Out) {
	for i := range write.commits {
		c := &write.commits[i]
		c.Code = 0
		if m := c.Offset.Metadata; len(m) > g.cfg.MaxMetadata && utf16Len(m) > g.cfg.MaxMetadata {
			c.Code = kerr.OffsetMetadataTooLarge.Code
			continue
		}
		write.Offsets = append(write.Offsets, OffsetRecord{TP: c.TP, Offset: &c.Offset})
	}
	if len(write.Offsets) == 0 {
		out.Replies = append(out.Replies, Reply{To: write.waiter})
		return
	}
	out.Writes = append(out.Writes, write)
}

// stored ends a write of offsets and answers who asked for it.
func (g *Group) stored(w *Write, code int16, position int64, out *Out) {
	if w.Txn == NoTxn {
		g.committed(w, code, position)
	}
	for i := range w.commits {
		if w.commits[i].Code == 0 {
			w.commits[i].Code = code
		}
	}
	out.Replies = append(out.Replies, Reply{To: w.waiter, Code: code})
}

func (g *Group) mayCommit(now int64, memberID string, instance *string, generation int32, out *Out) int16 {
	if generation < 0 && g.state == Empty && !g.fenced(memberID, instance) {
		return 0 // nobody manages this group; it only keeps offsets
	}
	m, code := g.identify(memberID, instance, generation)
	if code != 0 {
		return code
	}
	switch g.state {
	case Stable, PreparingRebalance: // the rebalance itself is told with the next heartbeat
		g.alive(m, now, out)
		return 0
	case CompletingRebalance:
		return kerr.RebalanceInProgress.Code
	case Empty, Dead:
	}
	return kerr.UnknownMemberID.Code
}

// stage notes that the offsets of a write are in the log and not committed.
func (g *Group) stage(w *Write) {
	if g.offsets.pending == nil {
		g.offsets.pending = map[TP]*Write{}
	}
	w.staged = true
	for i := range w.Offsets {
		g.offsets.pending[w.Offsets[i].TP] = w
	}
}

func (g *Group) committed(w *Write, code int16, position int64) {
	for i := range w.Offsets {
		r := &w.Offsets[i]
		if w.staged && g.offsets.pending[r.TP] == nil {
			continue // its topic was deleted meanwhile
		}
		if code == 0 {
			r.Offset.Position = position
			g.offsets.put(r.TP, r.Offset)
		}
	}
	if !w.staged {
		return
	}
	for i := range w.Offsets { // apart, because a request may name a partition twice
		if tp := w.Offsets[i].TP; g.offsets.pending[tp] == w {
			delete(g.offsets.pending, tp)
		}
	}
}

// Offset returns a partition's committed offset, nil if there is none; it is good until the group's next event. unstable: a younger one may follow.
func (g *Group) Offset(tp TP) (off *Offset, unstable bool) {
	if g.state == Dead {
		return nil, false
	}
	if _, unstable = g.offsets.pending[tp]; !unstable {
		for _, of := range g.offsets.txn {
			if _, unstable = of[tp]; unstable {
				break
			}
		}
	}
	return g.offsets.committed[tp], unstable
}

// Offsets lists the partitions with a committed offset, in order.
func (g *Group) Offsets() []TP {
	if g.state == Dead {
		return nil
	}
	out := make([]TP, 0, len(g.offsets.committed))
	for tp := range g.offsets.committed {
		out = append(out, tp)
	}
	slices.SortFunc(out, TP.compare)
	return out
}

// SetOffsets gives a group that is being loaded its offsets. The map belongs to the group then.
func (g *Group) SetOffsets(committed map[TP]*Offset) { g.offsets.committed = committed }

// Bare says that there are neither members nor offsets.
func (g *Group) Bare() bool { return len(g.members) == 0 && len(g.pending) == 0 && !g.offsets.any() }

// SetPendingTxn puts an offset of an open transaction, the newest of its partition.
func (g *Group) SetPendingTxn(producer int64, tp TP, off *Offset) {
	if g.offsets.txn == nil {
		g.offsets.txn = map[int64]map[TP]*Offset{}
	}
	if g.offsets.txn[producer] == nil {
		g.offsets.txn[producer] = map[TP]*Offset{}
	}
	g.offsets.txn[producer][tp] = off
}

// EndTxn ends a producer's transaction, its marker being committed at position. Offsets behind it are of the next transaction: over is false
// if there are some.
func (g *Group) EndTxn(producer, position int64, commit bool) (over bool) {
	of := g.offsets.txn[producer]
	for tp, off := range of {
		if off.Position > position {
			continue
		}
		if delete(of, tp); commit {
			g.offsets.put(tp, off)
		}
	}
	if len(of) == 0 {
		delete(g.offsets.txn, producer)
	}
	return len(of) == 0
}

// Delete removes a group without members; the waiter is answered when that is recorded. Code 0 comes with the Write to append.
func (g *Group) Delete(now int64, w Waiter, out *Out) int16 {
	switch g.state {
	case Stable, PreparingRebalance, CompletingRebalance:
		return kerr.NonEmptyGroup.Code
	case Dead:
		return kerr.GroupIDNotFound.Code
	case Empty:
	}
	write := g.removal(g.Offsets())
	write.GroupTombstone = g.generation > 0
	write.appended = func(int64) {
		g.offsets = offsets{}
		g.enter(Dead, now)
	}
	write.written = answerCode(w)
	out.Writes = append(out.Writes, write)
	return 0
}

func answerCode(w Waiter) func(int64, int16, int64, *Out) {
	return func(_ int64, code int16, _ int64, out *Out) {
		out.Replies = append(out.Replies, Reply{To: w, Code: code})
	}
}

// DeleteOffsets removes the offsets of some partitions, those of topics that the group reads excepted: their Code says so.
func (g *Group) DeleteOffsets(now int64, parts []Commit, w Waiter, out *Out) int16 {
	switch {
	case g.state == Dead:
		return kerr.GroupIDNotFound.Code
	case g.state == Empty:
	case g.protocolType == consumerType:
		for i := range parts {
			if _, reads := g.subscribed[parts[i].Topic]; reads || g.subscribed == nil {
				parts[i].Code = kerr.GroupSubscribedToTopic.Code
			}
		}
	default:
		return kerr.NonEmptyGroup.Code
	}
	var tps []TP
	for i := range parts {
		if parts[i].Code == 0 {
			tps = append(tps, parts[i].TP)
		}
	}
	write := g.removal(tps)
	g.buryIfBare(now, write)
	write.written = answerCode(w)
	out.Writes = append(out.Writes, write)
	return 0
}

// TopicDeleted removes the offsets of partitions that are no more.
func (g *Group) TopicDeleted(now int64, tps []TP, out *Out) {
	if g.state == Dead {
		return
	}
	for _, tp := range tps {
		if g.offsets.committed[tp] == nil { // without a tombstone to write: a commit under way does not count any more
			g.forget(tp)
		}
	}
	g.sweep(now, tps, out)
}

// sweep removes offsets, and the group too if it has no members and nothing else: one that never committed goes this way.
func (g *Group) sweep(now int64, tps []TP, out *Out) {
	write := g.removal(tps)
	g.buryIfBare(now, write)
	if len(write.Offsets) > 0 || write.GroupTombstone || g.state == Empty && !g.offsets.any() && len(g.pending) == 0 {
		out.Writes = append(out.Writes, write)
	}
}

// removal is the Write of tombstones for those of the partitions that have an offset. With it appended they are gone.
func (g *Group) removal(tps []TP) *Write {
	w := &Write{Txn: NoTxn}
	for _, tp := range tps {
		if g.offsets.committed[tp] != nil {
			w.Offsets = append(w.Offsets, OffsetRecord{TP: tp})
		}
	}
	w.appended = func(int64) {
		for _, tp := range tps {
			g.forget(tp)
		}
	}
	return w
}

func (g *Group) forget(tp TP) {
	delete(g.offsets.committed, tp)
	delete(g.offsets.pending, tp)
	for producer, of := range g.offsets.txn {
		if delete(of, tp); len(of) == 0 {
			delete(g.offsets.txn, producer)
		}
	}
}

// buryIfBare ends a group that has neither members nor offsets after the write.
func (g *Group) buryIfBare(now int64, w *Write) {
	if g.state != Empty || len(g.pending) > 0 {
		return
	}
	left := len(g.offsets.committed) - len(w.Offsets)
	if left > 0 || len(g.offsets.pending) > 0 || len(g.offsets.txn) > 0 {
		return
	}
	w.GroupTombstone = g.generation > 0
	remove := w.appended
	w.appended = func(position int64) {
		remove(position)
		if g.state == Empty && !g.offsets.any() {
			g.enter(Dead, now)
		}
	}
}

// Expire removes the offsets whose time is over (KIP-211), and the group if nothing is left of it.
func (g *Group) Expire(now int64, out *Out) {
	if g.state == Dead {
		return
	}
	g.sweep(now, g.expired(now), out)
}

func (g *Group) expired(now int64) []TP {
	base := func(o *Offset) int64 { return o.CommitTime }
	var reads map[string]struct{}
	switch {
	case g.protocolType == "": // it only keeps offsets
	case g.state == Empty:
		if g.since != -1 {
			base = func(*Offset) int64 { return g.since }
		}
	case g.protocolType == consumerType && g.subscribed != nil:
		reads = g.subscribed
	default:
		return nil
	}
	var tps []TP
	for tp, o := range g.offsets.committed {
		_, read := reads[tp.Topic]
		_, pending := g.offsets.pending[tp]
		over := now-base(o) >= g.cfg.Retention
		if o.ExpireTime != -1 {
			over = now >= o.ExpireTime
		}
		if over && !read && !pending {
			tps = append(tps, tp)
		}
	}
	slices.SortFunc(tps, TP.compare)
	return tps
}

// utf16Len is the length of a string as Java counts.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > 0xffff && r != utf8.RuneError {
			n++
		}
	}
	return n
}
