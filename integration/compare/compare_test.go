package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
)

// outcome is one case in one version on one broker.
type outcome struct {
	Key     kmsg.Key
	Version int16
	Case    string
	Answer  any
	// Deliberate is the case's.
	Deliberate string
}

func (o *outcome) id() string { return fmt.Sprintf("%s v%d: %s", o.Key.Name(), o.Version, o.Case) }

// brokers starts both programs on one ZooKeeper, each with a part of its tree.
func brokers(t *testing.T, zookeeper string, w *world) (kafka, gregor *Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	start := func(kind peer.Kind, name string) *Broker {
		dir := t.TempDir()
		var dirs []string
		for i := range w.dirs {
			dirs = append(dirs, filepath.Join(dir, fmt.Sprintf("logs-%d", i)))
		}
		config := map[string]string{"log.dirs": strings.Join(dirs, ",")}
		maps.Copy(config, w.config)
		root := "/" + string(kind) + "-" + w.name
		p, err := peer.StartBroker(ctx, peer.Options{Kind: kind, Dir: dir, ID: 1, ZooKeeper: zookeeper + root, Heap: "256m", Config: config})
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := zk.Connect([]string{zookeeper}, 10*time.Second, zk.WithLogger(silentLogger{}))
		if err != nil {
			t.Fatal(err)
		}
		b := &Broker{Name: name, Addr: p.Addr, ID: 1, Topic: "cmp", LogDir: dirs[0], LogDirs: dirs, Root: root, zk: c}
		t.Cleanup(func() {
			c.Close()
			if p.Exited() {
				t.Errorf("%s has ended: %s", name, p.Tail())
			}
			p.Close()
		})
		return b
	}
	return start(peer.Kafka, "Apache Kafka"), start(peer.Gregor, "Gregor")
}

// run sends one case in one version.
func (c *Case) run(b *Broker, v int16) (o outcome, topics []string) {
	mask := make(map[string]bool)
	for _, m := range c.Mask {
		mask[m] = true
	}
	o = outcome{Key: c.Key, Version: v, Case: c.Name, Deliberate: c.Deliberate}
	if c.Do != nil {
		o.Answer = plainTree(c.Do(b, v))
	} else {
		req := c.Build(b, v)
		topics = named(req)
		resp, err := b.Ask(req)
		o.Answer = answer(resp, err, mask)
	}
	if c.OwnTopics {
		o.Answer = onlyTopics(o.Answer, b.Topic+"-")
	}
	return o, topics
}

// compared is what a world's cases came to.
type compared struct {
	outcomes  []outcome // Apache Kafka's
	differing map[string]bool
	znodes    int
}

// compareAll runs the cases of a world on both brokers, step by step, and looks at the znodes that each step may have changed.
func compareAll(t *testing.T, kafka, gregor *Broker, w *world) (r compared) {
	only := regexp.MustCompile(os.Getenv("COMPARE_ONLY"))
	r.differing = make(map[string]bool)
	long := os.Getenv("FULL") == "1" || os.Getenv("COMPARE_WRITE") != ""
	for _, c := range w.cases() {
		if c.Long && !long {
			continue
		}
		from, to := c.versions()
		for v := from; v <= to; v++ {
			id := (&outcome{Key: c.Key, Version: v, Case: c.Name}).id()
			if !only.MatchString(id) && !strings.Contains(c.Name, "prepared") && !strings.Contains(c.Name, "for fetches") {
				continue
			}
			began := time.Now()
			var theirs outcome
			done := make(chan struct{})
			go func() {
				theirs, _ = c.run(kafka, v)
				close(done)
			}()
			ours, topics := c.run(gregor, v)
			mine := time.Since(began)
			<-done
			if took := time.Since(began); took > 2*time.Second {
				t.Logf("%s took Gregor %v, both %v", id, mine.Round(time.Millisecond), took.Round(time.Millisecond))
			}
			r.outcomes = append(r.outcomes, theirs)
			if d := difference("", theirs.Answer, ours.Answer); len(d) > 0 {
				r.differing[id] = true
				if c.Deliberate == "" {
					t.Errorf("%s (Apache Kafka / Gregor):\n\t%s", id, strings.Join(d[:min(len(d), 8)], "\n\t"))
				}
			}
			if !changesZnodes[c.Key] || len(topics) == 0 {
				continue
			}
			d, n := settled(kafka, gregor, topics)
			r.znodes += n
			if len(d) > 0 && c.Deliberate == "" {
				t.Errorf("%s: znodes after it (Apache Kafka / Gregor):\n\t%s", id, strings.Join(d[:min(len(d), 8)], "\n\t"))
			}
		}
	}
	return r
}

func TestAnswersAgree(t *testing.T) {
	if os.Getenv("GREGOR_INTEROP") != "1" {
		t.Skip("run by make interop")
	}
	server, err := peer.StartZooKeeper(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	total := compared{differing: map[string]bool{}}
	for i := range worlds {
		w := &worlds[i]
		if chosen := os.Getenv("COMPARE_WORLD"); chosen != "" && chosen != w.name {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			kafka, gregor := brokers(t, server.Addr, w)
			r := compareAll(t, kafka, gregor, w)
			t.Logf("%d requests, %d answers differ; %d znodes compared on the way", len(r.outcomes), len(r.differing), r.znodes)
			total.outcomes = append(total.outcomes, r.outcomes...)
			maps.Copy(total.differing, r.differing)
			d, n, err := sameZnodes(kafka, gregor)
			if err != nil {
				t.Error(err)
			}
			for _, line := range d {
				t.Errorf("znodes (Apache Kafka / Gregor): %s", line)
			}
			t.Logf("%d znodes compared at the end", n)
		})
	}
	record(t, os.Getenv("COMPARE_RECORD"), total.outcomes)
	write(t, os.Getenv("COMPARE_WRITE"), total.outcomes, total.differing)
}

func record(t *testing.T, path string, outcomes []outcome) {
	if path == "" {
		return
	}
	var b strings.Builder
	for i := range outcomes {
		j, _ := json.Marshal(outcomes[i].Answer)
		fmt.Fprintf(&b, "%s\n\t%s\n", outcomes[i].id(), j)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// write makes the table of what was exercised.
func write(t *testing.T, path string, outcomes []outcome, differing map[string]bool) {
	if path == "" {
		return
	}
	seen := make(map[kmsg.Key]map[int16]map[int]bool)
	for i := range outcomes {
		o := &outcomes[i]
		if seen[o.Key] == nil {
			seen[o.Key] = make(map[int16]map[int]bool)
		}
		if seen[o.Key][o.Version] == nil {
			seen[o.Key][o.Version] = make(map[int]bool)
		}
		codes(o.Answer, seen[o.Key][o.Version])
	}
	var b strings.Builder
	b.WriteString("# Compatibility\n\nGenerated by `integration/compare`; do not edit. Each request type in each version, and the error codes that the cases exercise,\nsent alike to Apache Kafka 2.7.2 and to Gregor.\n")
	fmt.Fprintf(&b, "\n%d requests, %d answers differ.\n\n| request | version | error codes exercised | not reached |\n| --- | --- | --- | --- |\n", len(outcomes), len(differing))
	keys := make([]kmsg.Key, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for v := int16(0); v <= newest[k]; v++ {
			got := seen[k][v]
			if got == nil {
				fmt.Fprintf(&b, "| %s | %d | - | all |\n", k.Name(), v)
				continue
			}
			var missing []string
			for _, c := range possible[k] {
				if !got[c] {
					missing = append(missing, codeName(c))
				}
			}
			var have []int
			for c := range got {
				have = append(have, c)
			}
			sort.Ints(have)
			names := make([]string, len(have))
			for i, c := range have {
				names[i] = codeName(c)
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", k.Name(), v, strings.Join(names, ", "), strings.Join(missing, ", "))
		}
	}
	if len(differing) > 0 {
		b.WriteString("\n## Answers that differ\n\n")
		for i := range outcomes {
			if o := &outcomes[i]; differing[o.id()] {
				reason := o.Deliberate
				if reason == "" {
					reason = "a fault"
				}
				b.WriteString("- " + o.id() + ": " + reason + "\n")
			}
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func codeName(c int) string {
	if c == 0 {
		return "0"
	}
	if e, ok := kerr.ErrorForCode(int16(c)).(*kerr.Error); ok {
		return fmt.Sprintf("%d %s", c, e.Message)
	}
	return fmt.Sprint(c)
}
