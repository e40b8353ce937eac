package clusterstatus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"gregor/tools/internal/kclient"
)

// Group is a consumer group.
type Group struct {
	Name  string `json:"group"`
	State string `json:"state"`
	// Lag is the sum over the partitions that the group has offsets of; absent if it has none, or was not asked about.
	Lag *int64 `json:"lag,omitempty"`
	// Worst is the partition that it is most behind in, and how much.
	Worst    string `json:"mostBehind,omitempty"`
	WorstLag int64  `json:"mostBehindBy,omitempty"`
}

const (
	// maxGroups bounds how many groups are asked about; the metrics have all.
	maxGroups = 200
	// groupsAtOnce are asked about side by side.
	groupsAtOnce = 16
)

// askGroups asks for the groups, and how far behind they are.
func (f *findings) askGroups(ctx context.Context, admin *kclient.Admin, mu *sync.Mutex) {
	listed, err := admin.ListGroups(ctx, nil)
	if err != nil {
		f.fail(mu, "consumer groups cannot be listed", err, "see whether __consumer_offsets has leaders; look at the brokers' logs")
		return
	}
	slices.SortFunc(listed, func(a, b kclient.ListedGroup) int { return cmp.Compare(a.Name, b.Name) })
	stored := make([][]kclient.Committed, min(len(listed), maxGroups))
	var wg sync.WaitGroup
	slots := make(chan struct{}, groupsAtOnce)
	for i := range stored {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found, err := admin.Committed(ctx, listed[i].Name)
			if err != nil {
				f.fail(mu, "the offsets of group "+listed[i].Name+" cannot be read", err, "look at the log of its coordinator")
				return
			}
			stored[i] = found
		})
	}
	wg.Wait()
	led := f.led()
	seen := map[kclient.TopicPartition]bool{}
	var tps []kclient.TopicPartition
	for _, offsets := range stored {
		for _, o := range offsets {
			if led[o.TopicPartition] && !seen[o.TopicPartition] {
				seen[o.TopicPartition] = true
				tps = append(tps, o.TopicPartition)
			}
		}
	}
	ends, err := admin.ListOffsets(ctx, tps, kclient.Latest)
	if err != nil {
		f.fail(mu, "the ends of partitions that groups read cannot be listed", err, "look at the brokers' logs")
		return
	}
	mu.Lock()
	defer mu.Unlock()
	for i, l := range listed {
		g := Group{Name: l.Name, State: l.State}
		if i < len(stored) {
			g.behind(stored[i], ends)
		}
		f.groups = append(f.groups, g)
	}
}

// led are the partitions that have a leader.
func (f *findings) led() map[kclient.TopicPartition]bool {
	out := map[kclient.TopicPartition]bool{}
	for i := range f.metadata.Topics {
		t := &f.metadata.Topics[i]
		if t.Topic == nil {
			continue
		}
		for j := range t.Partitions {
			if t.Partitions[j].Leader >= 0 {
				out[kclient.TopicPartition{Topic: *t.Topic, Partition: t.Partitions[j].Partition}] = true
			}
		}
	}
	return out
}

func (g *Group) behind(stored []kclient.Committed, ends map[kclient.TopicPartition]int64) {
	for _, o := range stored {
		end, ok := ends[o.TopicPartition]
		if !ok {
			continue
		}
		lag := max(end-o.Offset, 0)
		if g.Lag == nil {
			g.Lag = new(int64)
		}
		*g.Lag += lag
		if lag > g.WorstLag {
			g.Worst, g.WorstLag = o.TopicPartition.String(), lag
		}
	}
}

// shownGroups are named on the screen, those most behind first; JSON has all.
const shownGroups = 8

func (s *Status) textGroups(b *strings.Builder) {
	if len(s.Groups) == 0 {
		return
	}
	lag := func(g *Group) int64 {
		if g.Lag == nil {
			return -1
		}
		return *g.Lag
	}
	groups := slices.Clone(s.Groups)
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(lag(&b), lag(&a)) })
	fmt.Fprintln(b)
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "GROUP\tSTATE\tLAG\tMOST BEHIND")
	for i := range groups[:min(len(groups), shownGroups)] {
		g := &groups[i]
		sum, worst := "-", "-"
		if g.Lag != nil {
			sum = fmt.Sprint(*g.Lag)
		}
		if g.WorstLag > 0 {
			worst = fmt.Sprintf("%s by %d", g.Worst, g.WorstLag)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.Name, g.State, sum, worst)
	}
	w.Flush() //nolint:errcheck // a builder takes all
	if n := len(groups) - shownGroups; n > 0 {
		fmt.Fprintf(b, "and %s\n", count(n, "group"))
	}
}
