package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/clients"
	"gregor/integration/peer"
)

// TestStreamsCountExactly: Kafka Streams' application counts the words of Go's own sources with exactly-once processing, while brokers, and with
// FULL=1 the application itself, are killed. Each word that comes n times yields 1, 2, ... n, once.
func TestStreamsCountExactly(t *testing.T) {
	for _, v := range []struct {
		guarantee string
		kinds     []peer.Kind
		full      bool
	}{
		{"exactly_once_beta", threeGregors, false},
		{"exactly_once", threeGregors, true},
		{"exactly_once_beta", []peer.Kind{peer.Gregor, peer.Kafka, peer.Gregor}, true},
	} {
		name := v.guarantee
		if v.kinds[1] == peer.Kafka {
			name += " mixed"
		}
		t.Run(name, func(t *testing.T) {
			full := os.Getenv("FULL") == "1"
			if v.full && !full {
				t.Skip("with FULL=1")
			}
			c, ctx := start(t, 8*time.Minute, Options{Kinds: v.kinds, Config: coordinated("3")})
			w := &wordCount{t: t, c: c, guarantee: v.guarantee, dir: t.TempDir(), persistent: full}
			w.run(ctx, full)
		})
	}
}

type wordCount struct {
	t          *testing.T
	c          *Cluster
	guarantee  string
	dir        string
	persistent bool

	mu      sync.Mutex
	app     *exec.Cmd
	ended   chan struct{}
	out     bytes.Buffer
	closing bool
	starts  int
}

const words, counts, wordPartitions = "words", "counts", 4

func (w *wordCount) run(ctx context.Context, full bool) {
	t, c := w.t, w.c
	for _, topic := range []string{words, counts} {
		must(t, c.CreateTopic(ctx, topic, c.Spread(wordPartitions, 3), map[string]string{"min.insync.replicas": "2"}))
	}
	lines, want, total := text(t, full)
	w.start()
	defer w.close()
	reader, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.ConsumeTopics(counts), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond))...)
	must(t, err)
	defer reader.Close()
	writer, err := kgo.NewClient(append(ClientOptions(), c.Seeds(), kgo.DefaultProduceTopic(words))...)
	must(t, err)
	defer writer.Close()

	// The text is written in as many parts as there are faults, each when what came before is on its way through.
	faults := []func(){func() { w.killBroker(ctx, transactionState) }}
	if full {
		faults = append(faults, func() { w.killApp() }, func() { w.killBroker(ctx, consumerOffsets) }, func() { w.killBroker(ctx, counts) },
			func() { w.killApp() }, func() { w.killBroker(ctx, words) })
	}
	got, seen := map[string]int{}, 0
	poll := func(until int) {
		for seen < until {
			fs := reader.PollFetches(ctx)
			must(t, ctx.Err())
			fs.EachRecord(func(r *kgo.Record) {
				seen++
				n, err := strconv.Atoi(string(r.Value))
				if got[string(r.Key)]++; err != nil || n != got[string(r.Key)] {
					t.Fatalf("%q was counted %s after %d", r.Key, r.Value, got[string(r.Key)]-1)
				}
			})
		}
	}
	written := 0
	for i := range len(faults) + 1 {
		part := lines[i*len(lines)/(len(faults)+1) : (i+1)*len(lines)/(len(faults)+1)]
		for _, line := range part {
			writer.Produce(ctx, &kgo.Record{Key: []byte(line[:1]), Value: []byte(line)}, func(_ *kgo.Record, err error) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
			written += len(strings.Fields(line))
		}
		poll(seen + (written-seen)/4)
		if i < len(faults) {
			faults[i]()
		}
	}
	must(t, writer.Flush(ctx))
	poll(total)
	w.close()
	for word, n := range want {
		if got[word] != n {
			t.Errorf("%q was counted %d times, it is there %d times", word, got[word], n)
		}
	}
	t.Logf("%d words, %d different ones, are counted exactly; the application was started %d times", total, len(want), w.starts)
}

// text is some of Go's own sources, without what is not a word between blanks.
func text(t *testing.T, full bool) (lines []string, want map[string]int, total int) {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	pattern := "src/strings/*.go"
	if full {
		pattern = "src/net/http/*.go"
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(goroot)), pattern))
	must(t, err)
	want = map[string]int{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(t, err)
		for line := range strings.Lines(string(b)) {
			line = strings.Join(strings.Fields(line), " ")
			if line == "" || strings.ToValidUTF8(line, "") != line {
				continue
			}
			lines = append(lines, line)
			for word := range strings.SplitSeq(line, " ") {
				want[word]++
				total++
			}
		}
		if !full && total > 15_000 {
			break
		}
	}
	if total < 10_000 {
		t.Fatalf("only %d words in %d files", total, len(files))
	}
	return lines, want, total
}

func (w *wordCount) seeds() string {
	var addrs []string
	for _, n := range w.c.Nodes {
		addrs = append(addrs, n.Addr())
	}
	return strings.Join(addrs, ",")
}

// start starts the application, and again when it ends by itself: a thread of it may die when a broker does not answer for long.
func (w *wordCount) start() {
	tools, err := clients.New()
	must(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.launch(tools)
}

func (w *wordCount) launch(tools *clients.Tools) {
	w.starts++
	cmd := tools.WordCount(w.seeds(), "word-count", words, counts, w.guarantee, w.dir, w.persistent)
	cmd.Stdout, cmd.Stderr = &w.out, &w.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is about the thread that starts the child: it has to live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		defer close(ended)
		if w.closing {
			return
		}
		tail := w.out.String()
		w.t.Logf("the application has ended: %v\n%s", err, tail[max(0, len(tail)-2000):])
		if w.starts > 20 {
			w.t.Error("the application ends again and again")
			return
		}
		w.launch(tools)
	}()
	if err := <-started; err != nil {
		w.t.Error(err)
		return
	}
	w.app, w.ended = cmd, ended
}

// killApp kills the application, which starts again.
func (w *wordCount) killApp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.app.Process.Kill()
}

func (w *wordCount) close() {
	w.mu.Lock()
	w.closing = true
	app, ended := w.app, w.ended
	w.mu.Unlock()
	if app != nil {
		_ = app.Process.Kill()
		<-ended
	}
}

// killBroker kills the broker that leads the first partition of a topic, and starts it again when others lead.
func (w *wordCount) killBroker(ctx context.Context, topic string) {
	n := w.c.Node(view(w.t, ctx, w.c, topic).Partitions[0].Leader)
	n.Kill()
	w.c.wait(w.t, ctx, "others lead", topic, func(v *View) error {
		for _, p := range v.Partitions {
			if p.Leader < 0 || p.Leader == int32(n.ID) {
				return fmt.Errorf("%v", p)
			}
		}
		return nil
	})
	must(w.t, n.Start(ctx))
	w.c.inSync(w.t, ctx, topic)
}
