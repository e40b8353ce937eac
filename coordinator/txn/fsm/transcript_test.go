package fsm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/transcript"
)

// A transcript is a story in lines: what happens stands as a command, what follows is indented below.
//
//	init [expecting PRODUCER/EPOCH] | add PRODUCER/EPOCH PARTITION ... | commit PRODUCER/EPOCH | abort PRODUCER/EPOCH | written | refused
//	| marked [CODE] PARTITION ... | wait MILLISECONDS | sweep | release | retry | unload | load | epoch N (as if so many were used) | new
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) transcript.Story {
		st := &story{t: t, now: 1000, cfg: &Config{MaxTimeout: 60_000, Expiration: 100_000}}
		st.x = New("id", 7, 30_000, st.now, st.cfg)
		return st
	})
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
	said   func(format string, args ...any)
}

func (st *story) Do(words []string, said func(format string, args ...any)) {
	st.said = said
	st.do(words)
	id, epoch := st.x.Producer()
	pending := ""
	if st.x.Pending() {
		pending = ", about to change"
	}
	said("= %v of %d/%d %v%s", st.x.State(), id, epoch, names(st.x.Parts()), pending)
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
			st.said("nothing is on its way")
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
	line := st.said
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
