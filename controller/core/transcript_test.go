package core

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"gregor/internal/transcript"
)

// A transcript is a story in lines: what happens stands as a command, what the controller does about it is indented below.
//
//	elect EPOCH | brokers ID:EPOCH... | topic NAME 0=1,2 1=2,1 | delete NAME | done N (the Nth open write) | failed N | conflict N LEADER/EPOCH/ISR vN
//	| stopped BROKER TP CODE | roles BROKER TP CODE | prefer TP | isr BROKER TP EPOCH ISR vN | leave BROKER | move TP REPLICAS (- cancels) | moves
//	| elect-leader TP [unclean] | balance PERCENTAGE | unclean BOOL
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) transcript.Story {
		return &story{t: t, s: New(Config{BrokerID: 1, DeleteTopics: true}), names: map[string]Topic{}}
	})
}

type story struct {
	t       *testing.T
	s       *State
	names   map[string]Topic
	brokers []Broker
	open    []Write
	ref     uint64
}

func (st *story) Do(words []string, said func(format string, args ...any)) {
	plan := st.s.Apply(st.event(st.t, words))
	st.open = append(st.open, plan.Writes...)
	for _, l := range describe(plan) {
		said("%s", l)
	}
}

func (st *story) event(t *testing.T, w []string) Event {
	num := func(s string) int32 {
		n, err := strconv.Atoi(strings.TrimPrefix(s, "v"))
		if err != nil {
			t.Fatalf("%v: %v", w, err)
		}
		return int32(n)
	}
	switch w[0] {
	case "elect":
		return Elected{Epoch: num(w[1]), Brokers: st.brokers}
	case "brokers":
		st.brokers = nil
		for _, b := range w[1:] {
			id, epoch, _ := strings.Cut(b, ":")
			st.brokers = append(st.brokers, Broker{ID: num(id), Epoch: int64(num(epoch))})
		}
		return BrokersChanged{st.brokers}
	case "topic":
		in := Topic{Name: w[1], Partitions: map[int32]Assignment{}}
		for _, p := range w[2:] {
			n, rs, _ := strings.Cut(p, "=")
			var a Assignment
			for _, r := range strings.Split(rs, ",") {
				a.Replicas = append(a.Replicas, num(r))
			}
			in.Partitions[num(n)] = a
		}
		_, known := st.names[w[1]]
		st.names[w[1]] = in
		if known {
			return TopicChanged{in}
		}
		return TopicsChanged{Names: sortedKeys(st.names), New: []Topic{in}}
	case "delete":
		return DeletionsChanged{w[1:2]}
	case "done", "conflict", "failed":
		i := num(w[1]) - 1
		if int(i) >= len(st.open) {
			t.Fatalf("%v: %d writes are under way", w, len(st.open))
		}
		r := Result{Write: st.open[i]}
		st.open = append(st.open[:i:i], st.open[i+1:]...)
		if w[0] == "conflict" {
			f := strings.Split(w[2], "/")
			l := Leadership{Leader: num(f[0]), LeaderEpoch: num(f[1]), Version: num(w[3])}
			for _, id := range strings.Split(f[2], ",") {
				l.ISR = append(l.ISR, num(id))
			}
			r.Outcome, r.Found = Conflict, &l
		} else if w[0] == "failed" {
			r.Outcome, r.Err = Failed, "ZooKeeper says no"
		} else if r.Write.Kind == SetState {
			r.Version = r.Write.From + 1
		}
		return WritesDone{[]Result{r}}
	case "stopped", "roles":
		topic, p, _ := strings.Cut(w[2], "-")
		errs := map[TP]int16{{topic, num(p)}: int16(num(w[3]))}
		var epoch int64
		for _, b := range st.brokers {
			if b.ID == num(w[1]) {
				epoch = b.Epoch
			}
		}
		if w[0] == "roles" {
			return LeaderAndIsrAnswered{num(w[1]), epoch, errs}
		}
		return StopReplicaAnswered{num(w[1]), epoch, errs}
	case "isr":
		c := IsrChange{TP: partitionNamed(w[2]), LeaderEpoch: num(w[3]), ISR: st.ids(w[4]), Version: num(w[5])}
		return AlterIsr{Ref: st.next(), Broker: num(w[1]), Epoch: st.epochOf(num(w[1])), Changes: []IsrChange{c}}
	case "leave":
		return ControlledShutdown{Ref: st.next(), Broker: num(w[1]), Epoch: st.epochOf(num(w[1]))}
	case "move":
		return Reassign{Ref: st.next(), Targets: []Target{{TP: partitionNamed(w[1]), Replicas: st.ids(w[2])}}}
	case "moves":
		return ListMoves{Ref: st.next()}
	case "elect-leader":
		return Elect{Ref: st.next(), Partitions: []TP{partitionNamed(w[1])}, Unclean: len(w) > 2}
	case "balance":
		return Balance{int(num(w[1]))}
	case "unclean":
		return DefaultUncleanChanged{Unclean: w[1] == "true"}
	case "prefer":
		topic, p, _ := strings.Cut(w[1], "-")
		return ElectPreferred{[]TP{{topic, num(p)}}}
	}
	t.Fatalf("what is %q?", w)
	return nil
}

func (st *story) next() uint64 {
	st.ref++
	return st.ref
}

func (st *story) epochOf(id int32) int64 {
	for _, b := range st.brokers {
		if b.ID == id {
			return b.Epoch
		}
	}
	return -1
}

// ids reads 1,2,3; - is nil.
func (st *story) ids(s string) (out []int32) {
	if s == "-" {
		return nil
	}
	for _, w := range strings.Split(s, ",") {
		n, _ := strconv.Atoi(w)
		out = append(out, int32(n))
	}
	return out
}

func partitionNamed(s string) TP {
	topic, p, _ := strings.Cut(s, "-")
	n, _ := strconv.Atoi(p)
	return TP{topic, int32(n)}
}

func describe(p Plan) (out []string) {
	for _, n := range p.Notes {
		out = append(out, "log: "+n.Text)
	}
	for _, w := range p.Writes {
		out = append(out, "write: "+w.String())
	}
	for _, r := range p.Requests {
		to := fmt.Sprintf("to %d: ", r.Broker)
		switch {
		case r.LeaderAndIsr != nil:
			for _, ps := range r.LeaderAndIsr.Partitions {
				out = append(out, fmt.Sprintf("%srole in %s: %s, new %v", to, ps.TP, ps.Leadership, ps.New))
			}
		case r.UpdateMetadata != nil:
			out = append(out, fmt.Sprintf("%smetadata: %d brokers, %d partitions", to, len(r.UpdateMetadata.Brokers), len(r.UpdateMetadata.Partitions)))
			for _, ps := range r.UpdateMetadata.Partitions {
				out = append(out, fmt.Sprintf("%s    %s: %s, offline %v", to, ps.TP, ps.Leadership, ps.Offline))
			}
		default:
			for _, ps := range r.StopReplica.Partitions {
				out = append(out, fmt.Sprintf("%sstop %s epoch %d, delete %v", to, ps.TP, ps.LeaderEpoch, ps.Delete))
			}
		}
	}
	for _, a := range p.Answers {
		line := fmt.Sprintf("answer %d: code %d", a.Ref, a.Code)
		for _, ap := range a.Partitions {
			line += fmt.Sprintf("; %s code %d %s", ap.TP, ap.Code, ap.Leadership)
			if ap.Assignment.Moving() {
				line += fmt.Sprintf(" at %v adding %v removing %v", ap.Assignment.Replicas, ap.Assignment.Adding, ap.Assignment.Removing)
			}
		}
		out = append(out, line)
	}
	return out
}
