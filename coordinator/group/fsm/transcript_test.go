package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/internal/transcript"
)

// A transcript is a story in lines: what happens stands as a command, what follows is indented below.
//
//	join NAME [as ID] [instance=I] [protocols=a,b] [needs-id] | sync ID GENERATION [ID=PARTS ...] | beat ID GENERATION | leave ID [instance=I]
//	| commit ID GENERATION TOPIC/PARTITION=OFFSET | wait MILLISECONDS | written | refused | unload | delete | expire
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) transcript.Story {
		cfg := &Config{MinSession: 1, MaxSession: 1 << 30, InitialDelay: 3000, MaxSize: 3, MaxMetadata: 10, Retention: 100_000}
		return &story{t: t, now: 1000, g: New("g", cfg, 1000)}
	})
}

type story struct {
	t       *testing.T
	g       *Group
	now     int64
	timers  []Timer
	writes  []*Write
	said    func(format string, args ...any)
	started int64
}

func (st *story) Do(words []string, said func(format string, args ...any)) {
	st.said = said
	st.do(words)
	said("= %s, generation %d, leader %q", st.g.state, st.g.generation, st.g.leader)
}

func (st *story) do(words []string) {
	var out Out
	option := func(name string) *string {
		for _, w := range words {
			if v, ok := strings.CutPrefix(w, name+"="); ok {
				return &v
			}
		}
		return nil
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil {
			st.t.Fatal(err)
		}
		return n
	}
	switch words[0] {
	case "join":
		j := &Join{NewID: words[1], Instance: option("instance"), RequireID: slices.Contains(words, "needs-id"), Rebalance: 60_000, Session: 10_000,
			ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}}
		if i := slices.Index(words, "as"); i > 0 {
			j.MemberID = words[i+1]
		}
		if p := option("protocols"); p != nil {
			j.Protocols = nil
			for _, name := range strings.Split(*p, ",") {
				j.Protocols = append(j.Protocols, Protocol{Name: name})
			}
		}
		st.g.Join(st.now, j, words[1], &out)
	case "sync":
		s := &Sync{MemberID: words[1], Generation: int32(number(2)), Assignments: map[string][]byte{}}
		for _, w := range words[3:] {
			id, parts, _ := strings.Cut(w, "=")
			s.Assignments[id] = []byte(parts)
		}
		st.g.Sync(st.now, s, words[1], &out)
	case "beat":
		st.said("-> %s", code(st.g.Heartbeat(st.now, words[1], nil, int32(number(2)), &out)))
	case "leave":
		l := []Leaving{{MemberID: words[1], Instance: option("instance")}}
		st.g.Leave(st.now, l, &out)
		st.said("-> %s", code(l[0].Code))
	case "commit":
		at, offset, _ := strings.Cut(words[3], "=")
		topic, p, _ := strings.Cut(at, "/")
		n, _ := strconv.Atoi(p)
		o, _ := strconv.ParseInt(offset, 10, 64)
		id := strings.Trim(words[1], "-")
		commits := []Commit{{TP: TP{topic, int32(n)}, Offset: Offset{Offset: o, ExpireTime: -1, CommitTime: st.now}}}
		st.g.Commit(st.now, &OffsetCommit{MemberID: id, Generation: int32(number(2)), Commits: commits}, "commit", &out)
	case "wait":
		st.wait(number(1))
		return
	case "written", "refused":
		c := int16(0)
		if words[0] == "refused" {
			c = kerr.NotEnoughReplicas.Code
		}
		w := st.writes[0]
		st.writes = st.writes[1:]
		st.g.Written(st.now, w, c, st.started, &out)
		st.started++
	case "unload":
		st.g.Unload(st.now, &out)
	case "delete":
		st.said("-> %s", code(st.g.Delete(st.now, "delete", &out)))
	case "expire":
		st.g.Expire(st.now, &out)
	default:
		st.t.Fatalf("unknown command %q", words)
	}
	st.take(&out)
}

func (st *story) wait(by int64) {
	for end := st.now + by; ; {
		slices.SortStableFunc(st.timers, func(a, b Timer) int { return int(a.At - b.At) })
		if len(st.timers) == 0 || st.timers[0].At > end {
			st.now = end
			return
		}
		x := st.timers[0]
		st.timers = st.timers[1:]
		st.now = x.At
		var out Out
		st.g.Fire(st.now, x, &out)
		st.take(&out)
	}
}

func code(c int16) string {
	if c == 0 {
		return "ok"
	}
	return kerr.ErrorForCode(c).(*kerr.Error).Message
}

func (st *story) take(out *Out) {
	for i := 0; i < len(out.Writes); i++ {
		w := out.Writes[i]
		st.g.Appended(w, st.started)
		st.g.Uncommitted(w)
		st.writes = append(st.writes, w)
		var parts []string
		for _, o := range w.Offsets {
			if o.Offset == nil {
				parts = append(parts, fmt.Sprintf("no offset of %s/%d", o.Topic, o.Partition))
				continue
			}
			parts = append(parts, fmt.Sprintf("%s/%d=%d", o.Topic, o.Partition, o.Offset.Offset))
		}
		if w.Group != nil {
			parts = append(parts, fmt.Sprintf("group of %d in generation %d", len(w.Group.Members), w.Group.Generation))
		}
		if w.GroupTombstone {
			parts = append(parts, "no group")
		}
		st.said("append %s", strings.Join(parts, ", "))
	}
	st.timers = append(st.timers, out.Timers...)
	for _, r := range out.Replies {
		switch {
		case r.Join != nil:
			var members []string
			for _, m := range r.Join.Members {
				members = append(members, m.ID)
			}
			protocol := ""
			if r.Join.Protocol != nil {
				protocol = " by " + *r.Join.Protocol
			}
			st.said("%d: %v joined as %q: %s, generation %d%s, members %v", st.now, r.To, r.Join.MemberID, code(r.Join.Code), r.Join.Generation, protocol, members)
		case r.Sync != nil:
			st.said("%d: %v synced: %s %q", st.now, r.To, code(r.Sync.Code), r.Sync.Assignment)
		default:
			st.said("%d: %v: %s", st.now, r.To, code(r.Code))
		}
	}
}
