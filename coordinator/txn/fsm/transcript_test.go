package fsm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts of testdata")

// A transcript is a story in lines: what happens stands as a command, what follows is indented below.
//
//	init [expecting PRODUCER/EPOCH] | add PRODUCER/EPOCH PARTITION ... | commit PRODUCER/EPOCH | abort PRODUCER/EPOCH | written | refused
//	| marked [CODE] PARTITION ... | wait MILLISECONDS | sweep | release | retry | unload | load | epoch N (as if so many were used) | new
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			st := &story{t: t, now: 1000, cfg: &Config{MaxTimeout: 60_000, Expiration: 100_000}}
			st.x = New("id", 7, 30_000, st.now, st.cfg)
			got := st.tell(string(data))
			if *rewrite {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(data) {
				t.Errorf("the story is now (go test ./coordinator/txn/fsm -rewrite):\n%s", got)
			}
		})
	}
}

type story struct {
	t      *testing.T
	x      *Txn
	cfg    *Config
	now    int64
	ids    int64
	writes []*Write
	last   *kmsg.TxnMetadataValue // that was written
	sent   []*Markers
	said   strings.Builder
}

func (st *story) tell(script string) string {
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		st.said.WriteString(line + "\n")
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			st.do(words)
			id, epoch := st.x.Producer()
			pending := ""
			if st.x.Pending() {
				pending = ", about to change"
			}
			fmt.Fprintf(&st.said, "    = %v of %d/%d %v%s\n", st.x.State(), id, epoch, names(st.x.Parts()), pending)
		}
	}
	return st.said.String()
}

func names(parts []TP) string {
	out := make([]string, len(parts))
	for i, tp := range parts {
		out[i] = fmt.Sprintf("%s/%d", tp.Topic, tp.Partition)
	}
	return "[" + strings.Join(out, " ") + "]"
}

func (st *story) parts(words []string) (parts []TP) {
	for _, w := range words {
		topic, p, _ := strings.Cut(w, "/")
		n, err := strconv.Atoi(p)
		if err != nil {
			st.t.Fatal(err)
		}
		parts = append(parts, TP{topic, int32(n)})
	}
	return parts
}

func (st *story) producer(word string) Producer {
	id, epoch, _ := strings.Cut(word, "/")
	i, err := strconv.ParseInt(id, 10, 64)
	e, err2 := strconv.ParseInt(epoch, 10, 16)
	if err != nil || err2 != nil {
		st.t.Fatal(word, err, err2)
	}
	return Producer{i, int16(e)}
}

func (st *story) number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		st.t.Fatal(err)
	}
	return n
}

func (st *story) do(words []string) {
	var out Out
	switch words[0] {
	case "init":
		q := &Init{Timeout: 30_000, NewID: -1}
		if len(words) > 2 {
			p := st.producer(words[2])
			q.Expected = &p
		}
		if st.x.NeedsID(q) {
			st.ids++
			q.NewID = 100 + st.ids
		}
		st.x.Init(st.now, q, "init", &out)
	case "add":
		st.x.AddPartitions(st.now, st.producer(words[1]), st.parts(words[2:]), "add", &out)
	case "commit", "abort":
		st.x.End(st.now, st.producer(words[1]), words[0] == "commit", words[0], &out)
	case "written", "refused":
		code := int16(0)
		if words[0] == "refused" {
			code = kerr.CoordinatorNotAvailable.Code
		}
		if len(st.writes) == 0 {
			st.said.WriteString("    nothing is on its way\n")
			break
		}
		w := st.writes[0]
		st.writes = st.writes[1:]
		if st.x.Written(st.now, w, code, &out); code == 0 {
			st.last = w.Value
		}
	case "marked":
		st.marked(words[1:], &out)
	case "wait":
		st.now += st.number(words[1])
	case "sweep":
		st.x.Abort(st.now, &out)
		st.x.Expire(st.now, &out)
	case "release":
		st.x.Release(st.now, &out)
	case "retry":
		st.x.Retry(&out)
	case "unload":
		st.x.Unload(&out)
	case "load":
		var err error
		if st.x, err = Load("id", st.last, st.cfg); err != nil {
			st.t.Fatal(err)
		}
		st.writes, st.sent = nil, nil
		st.x.Start(st.now, &out)
	case "epoch":
		st.x.epoch = int16(st.number(words[1]))
	case "new":
		st.x = New("id", 8, 30_000, st.now, st.cfg)
	default:
		st.t.Fatalf("what is %q?", words[0])
	}
	st.show(&out)
}

// marked answers the oldest markers, for the partitions named, with a code or 0.
func (st *story) marked(words []string, out *Out) {
	code := int16(0)
	if len(words) > 0 && !strings.Contains(words[0], "/") {
		for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.TransactionCoordinatorFenced, kerr.InvalidProducerEpoch, kerr.UnsupportedForMessageFormat} {
			if e.Message == words[0] {
				code = e.Code
			}
		}
		words = words[1:]
	}
	m := st.sent[0].Of(st.parts(words))
	codes := make([]int16, len(m.Parts))
	for i := range codes {
		codes[i] = code
	}
	st.x.Marked(m, codes, out)
}

func (st *story) show(out *Out) {
	line := func(format string, args ...any) { fmt.Fprintf(&st.said, "    "+format+"\n", args...) }
	for _, r := range out.Replies {
		switch {
		case r.Code != 0:
			line("%s: %s", r.To, strings.SplitN(kerr.ErrorForCode(r.Code).Error(), ":", 2)[0])
		case r.To == "init":
			line("init: %d/%d", r.Producer, r.Epoch)
		default:
			line("%s: ok", r.To)
		}
	}
	for _, w := range out.Writes {
		if w.Value == nil {
			line("append a tombstone")
		} else {
			v := w.Value
			line("append %v of %d/%d, %d topics, begun %d", State(v.State), v.ProducerID, v.ProducerEpoch, len(v.Topics), v.StartTimestamp)
		}
	}
	st.writes = append(st.writes, out.Writes...)
	for _, m := range out.Markers {
		kind := "abort"
		if m.Commit {
			kind = "commit"
		}
		line("%s %s of %d/%d, attempt %d", kind, names(m.Parts), m.Producer, m.Epoch, m.Attempt)
	}
	if len(out.Markers) > 0 {
		st.sent = out.Markers
	}
	if out.Held {
		line("held")
	}
	if out.Retry {
		line("to be tried again")
	}
	for _, n := range out.Notes {
		line("(%s)", n)
	}
}
