package metrics

import (
	"context"
	"strconv"
	"time"

	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
)

// endsPatience is how long a scrape waits for other brokers to say how far their partitions go.
const endsPatience = 2 * time.Second

// groupStates are the states that Kafka counts groups by.
var groupStates = []struct {
	name  string
	state fsm.State
}{
	{"completingrebalance", fsm.CompletingRebalance}, {"dead", fsm.Dead}, {"empty", fsm.Empty}, {"preparingrebalance", fsm.PreparingRebalance}, {"stable", fsm.Stable},
}

// groups writes what the groups that this broker coordinates are at. A group is copied at a time; what is held are the ends of the
// partitions that others lead.
func (t *text) groups(ctx context.Context, src *Sources) {
	if src.Groups == nil {
		return
	}
	far := map[fsm.TP]int64{}
	var states [fsm.Dead + 1]int64
	all, offsets := int64(0), int64(0)
	src.Groups.Each(func(g *group.Snapshot) bool {
		all++
		states[g.State]++
		offsets += int64(len(g.Offsets))
		for _, o := range g.Offsets {
			if _, ok := src.end(o.TP); !ok {
				far[o.TP] = unknownEnd
			}
		}
		return true
	})
	const k = "kafka_coordinator_group_groupmetadatamanager_"
	t.family(k+"numgroups", "gauge", "Groups that this broker coordinates.")
	t.plain(k+"numgroups", all)
	for _, s := range groupStates {
		t.family(k+"numgroups"+s.name, "gauge", "Groups in this state.")
		t.plain(k+"numgroups"+s.name, states[s.state])
	}
	t.family(k+"numoffsets", "gauge", "Committed offsets.")
	t.plain(k+"numoffsets", offsets)
	if len(far) > 0 && src.Ends != nil {
		ctx, cancel := context.WithTimeout(ctx, endsPatience)
		src.Ends(ctx, far)
		cancel()
	}
	t.offsets(src, far)
}

// unknownEnd stands for the end of a partition that nobody tells.
const unknownEnd int64 = -1

// end is how far consumers may read a partition, if this broker leads it.
func (s *Sources) end(tp fsm.TP) (int64, bool) {
	if s.Replicas == nil {
		return 0, false
	}
	p, err := s.Replicas.Lookup(tp.Topic, tp.Partition)
	if err != nil || !p.Gauges(false).Leading {
		return 0, false
	}
	log := p.Log()
	if log == nil {
		return 0, false
	}
	return log.HighWatermark(), true
}

// offsets writes the series of groups under the names that the usual exporters of consumer lag have.
func (t *text) offsets(src *Sources, far map[fsm.TP]int64) {
	const p = "kafka_consumergroup_"
	t.family(p+"members", "gauge", "Members of a group, on its coordinator.")
	src.Groups.Each(func(g *group.Snapshot) bool {
		t.group(p+"members", g.Group, nil, int64(g.Members))
		return t.err == nil
	})
	t.family(p+"current_offset", "gauge", "What a group has committed, on its coordinator.")
	src.Groups.Each(func(g *group.Snapshot) bool {
		for i := range g.Offsets {
			t.group(p+"current_offset", g.Group, &g.Offsets[i].TP, g.Offsets[i].Offset)
		}
		return t.err == nil
	})
	t.family(p+"lag", "gauge", "Offsets between what a group has committed and the end of the partition, on its coordinator.")
	src.Groups.Each(func(g *group.Snapshot) bool {
		for i := range g.Offsets {
			o := &g.Offsets[i]
			end, ok := src.end(o.TP)
			if !ok {
				end, ok = far[o.TP]
				ok = ok && end != unknownEnd
			}
			if ok {
				t.group(p+"lag", g.Group, &o.TP, end-o.Offset)
			}
		}
		return t.err == nil
	})
}

// group writes a series of a group, and of a partition if there is one.
func (t *text) group(name, group string, tp *fsm.TP, v int64) {
	t.b = append(t.b, name...)
	t.b = append(t.b, `{consumergroup="`...)
	t.b = appendEscaped(t.b, group)
	if tp != nil {
		t.b = append(t.b, `",topic="`...)
		t.b = append(t.b, tp.Topic...)
		t.b = append(t.b, `",partition="`...)
		t.b = strconv.AppendInt(t.b, int64(tp.Partition), 10)
	}
	t.b = append(t.b, `"}`...)
	t.value(v)
}

// appendEscaped writes the value of a label. Names of groups are anything, even bytes that are no UTF-8, which Prometheus does not take.
func appendEscaped(b []byte, s string) []byte {
	for _, r := range s {
		switch r {
		case '\\', '"':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}
