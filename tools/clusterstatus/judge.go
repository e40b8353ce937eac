package clusterstatus

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gregor/tools/internal/kclient"
	"gregor/wire"
)

// Status is the account of a cluster, and its JSON.
type Status struct {
	Healthy    bool       `json:"healthy"`
	ClusterID  string     `json:"clusterId,omitempty"`
	Controller *int32     `json:"controller"`
	Since      *time.Time `json:"controllerSince,omitempty"`
	Brokers    []Broker   `json:"brokers"`
	Topics     int        `json:"topics"`
	Partitions int        `json:"partitions"`
	Moving     []Move     `json:"reassigning"`
	Problems   []Problem  `json:"problems"`
	// Notes are what could not be found out, without anything being known to be wrong.
	Notes []string `json:"notes,omitempty"`
}

// Broker is a broker that is there.
type Broker struct {
	ID      int32      `json:"id"`
	Address string     `json:"address"`
	Rack    string     `json:"rack,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	Leads   int        `json:"leads"`
	Holds   int        `json:"replicas"`
}

// Move is a partition on its way.
type Move struct {
	Partition string  `json:"partition"`
	Replicas  []int32 `json:"replicas"`
	Adding    []int32 `json:"adding,omitempty"`
	Removing  []int32 `json:"removing,omitempty"`
}

// Problem is something that is wrong, and what to do about it.
type Problem struct {
	Kind       string   `json:"kind"`
	What       string   `json:"what"`
	Partitions []string `json:"partitions,omitempty"`
	Do         string   `json:"do"`
}

func (f *findings) judge() *Status {
	s := &Status{Brokers: []Broker{}, Moving: []Move{}, Problems: append([]Problem{}, f.failed...), Notes: f.notes}
	if f.metadata != nil {
		f.judgeBrokers(s)
		f.judgePartitions(s)
		f.judgeDirs(s)
	} else {
		for i := range f.registered {
			b := Broker{ID: f.registered[i].ID, Since: at(f.registered[i].Timestamp)}
			if len(f.registered[i].Endpoints) > 0 {
				b.Address = f.registered[i].Endpoints[0].String()
			}
			s.Brokers = append(s.Brokers, b)
		}
	}
	s.Healthy = len(s.Problems) == 0
	return s
}

func (s *Status) problem(kind, do, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{Kind: kind, What: fmt.Sprintf(format, args...), Do: do})
}

func at(ms int64) *time.Time {
	if ms <= 0 {
		return nil
	}
	t := time.UnixMilli(ms)
	return &t
}

func (f *findings) judgeBrokers(s *Status) {
	s.ClusterID = value(f.metadata.ClusterID)
	known := false
	for i := range f.metadata.Brokers {
		m := &f.metadata.Brokers[i]
		b := Broker{ID: m.NodeID, Address: net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))), Rack: value(m.Rack)}
		for j := range f.registered {
			if f.registered[j].ID == b.ID {
				b.Since = at(f.registered[j].Timestamp)
			}
		}
		known = known || m.NodeID == f.metadata.ControllerID
		s.Brokers = append(s.Brokers, b)
	}
	slices.SortFunc(s.Brokers, func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) })
	id := f.metadata.ControllerID
	if f.reached {
		id = f.controller
		known = id >= 0
		s.Since = at(f.since)
		for i := range f.registered {
			if r := f.registered[i].ID; s.broker(r) == nil {
				s.problem("brokers", "wait a moment; if it stays so, restart that broker", "broker %d is registered in ZooKeeper, and the other brokers do not know of it", r)
			}
		}
	}
	if !known {
		s.problem("controller", "there should be one within zookeeper.session.timeout.ms; if not, see whether ZooKeeper answers and look at the brokers' logs",
			"no broker is the controller: nobody elects leaders or creates topics")
		return
	}
	s.Controller = &id
}

func (s *Status) broker(id int32) *Broker {
	for i := range s.Brokers {
		if s.Brokers[i].ID == id {
			return &s.Brokers[i]
		}
	}
	return nil
}

// cause is why partitions are in trouble, which is what they are told together by.
type cause struct {
	kind string
	away string // the brokers that are missing, "" if none is
	slow string // brokers that are there and do not keep up
}

func (f *findings) judgePartitions(s *Status) {
	moves := f.moving(s)
	groups := map[cause][]string{}
	gone := map[int32]int{}
	for i := range f.metadata.Topics {
		t := &f.metadata.Topics[i]
		if t.Topic == nil {
			continue
		}
		s.Topics++
		for j := range t.Partitions {
			p := &t.Partitions[j]
			s.Partitions++
			name := kclient.TopicPartition{Topic: *t.Topic, Partition: p.Partition}
			if b := s.broker(p.Leader); b != nil {
				b.Leads++
			}
			var away, slow []int32
			for _, id := range p.Replicas {
				b := s.broker(id)
				switch {
				case b == nil:
					away = append(away, id)
					gone[id]++
				case !slices.Contains(p.ISR, id) && !slices.Contains(moves[name], id):
					slow = append(slow, id)
				}
				if b != nil {
					b.Holds++
				}
			}
			c := cause{away: ids(away), slow: ids(slow)}
			switch {
			case p.Leader < 0:
				c.kind, c.slow = "offline", ""
				c.away = ids(p.ISR) // one of these has all records
			case len(p.ISR) < f.minISR[*t.Topic]:
				c.kind = "below min.insync.replicas"
			case len(away)+len(slow) > 0:
				c.kind = "under-replicated"
			default:
				continue
			}
			groups[c] = append(groups[c], name.String())
		}
	}
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		s.problem("brokers", fmt.Sprintf("start it; if it is gone for good, move its %d replicas away with scripts/kafka-reassign-partitions.sh, or start an empty broker with broker.id=%d", gone[id], id),
			"broker %d has replicas and is not there", id)
	}
	s.tell(groups)
}

// moving lists the moves under way; the replicas that they add are not in sync yet, and that is no problem.
func (f *findings) moving(s *Status) map[kclient.TopicPartition][]int32 {
	out := map[kclient.TopicPartition][]int32{}
	if f.moves == nil {
		return out
	}
	for i := range f.moves.Topics {
		for _, p := range f.moves.Topics[i].Partitions {
			tp := kclient.TopicPartition{Topic: f.moves.Topics[i].Topic, Partition: p.Partition}
			out[tp] = p.AddingReplicas
			s.Moving = append(s.Moving, Move{tp.String(), p.Replicas, p.AddingReplicas, p.RemovingReplicas})
		}
	}
	slices.SortFunc(s.Moving, func(a, b Move) int { return cmp.Compare(a.Partition, b.Partition) })
	return out
}

// tell makes a problem of each group of partitions, the worst first.
func (s *Status) tell(groups map[cause][]string) {
	kinds := []string{"offline", "below min.insync.replicas", "under-replicated"}
	var order []cause
	for c := range groups {
		order = append(order, c)
	}
	slices.SortFunc(order, func(a, b cause) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.kind), slices.Index(kinds, b.kind)), cmp.Compare(a.away, b.away), cmp.Compare(a.slow, b.slow))
	})
	for _, c := range order {
		list := groups[c]
		n := count(len(list), "partition")
		p := Problem{Kind: c.kind, Partitions: list}
		switch c.kind {
		case "offline":
			p.What = n + " without a leader: neither read nor written"
			p.Do = "start broker " + c.away + ", which has all records, or repair its disk; if it is lost, scripts/kafka-leader-election.sh --election-type unclean takes what another replica has, and loses the rest"
			if s.up(c.away) {
				p.Do = "broker " + c.away + " is there and its replica is not: look for an offline log directory below, and at its log"
			}
		case "below min.insync.replicas":
			p.What = n + " with fewer replicas in sync than min.insync.replicas: acks=all is refused"
			p.Do = c.remedy("lower min.insync.replicas of the topic, or give it more replicas with scripts/kafka-reassign-partitions.sh")
		default:
			p.What = n + " with fewer replicas in sync than there should be"
			p.Do = c.remedy("wait")
		}
		s.Problems = append(s.Problems, p)
	}
}

func (s *Status) up(list string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if n, err := strconv.ParseInt(w, 10, 32); err != nil || s.broker(int32(n)) == nil {
			return false
		}
	}
	return true
}

// remedy says what brings replicas back; otherwise is for when none is missing.
func (c cause) remedy(otherwise string) string {
	var out []string
	if c.away != "" {
		out = append(out, "start broker "+c.away)
	}
	if c.slow != "" {
		out = append(out, "broker "+c.slow+" is there and not in sync: if it has just started, wait; else look at its log, disk and network, and at replication throttles")
	}
	if out == nil {
		return otherwise
	}
	return strings.Join(out, "; ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func ids(list []int32) string {
	list = slices.Sorted(slices.Values(list))
	words := make([]string, len(list))
	for i, id := range list {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, ",")
}

func (f *findings) judgeDirs(s *Status) {
	for i := range s.Brokers {
		b := &s.Brokers[i]
		resp := f.dirs[b.ID]
		if resp == nil {
			continue
		}
		local := isLocal(b.Address)
		for j := range resp.Dirs {
			d := &resp.Dirs[j]
			if d.ErrorCode != 0 {
				s.problem("log directory", fmt.Sprintf("repair the disk and restart broker %d; its replicas come back from the other brokers", b.ID),
					"%s of broker %d is offline", d.Dir, b.ID)
				continue
			}
			if free, total, ok := wire.Space(d); ok {
				s.judgeSpace(b.ID, d.Dir, f.settings[b.ID][minFree], free, total-free)
			} else if local {
				s.lookAtSpace(b.ID, d.Dir, f.settings[b.ID][minFree])
			}
		}
	}
}

// fullPercent is how full a file system may be before it is told of.
const fullPercent = 95

// lookAtSpace looks at a directory of this machine itself: a broker of Apache's does not tell how full one is.
func (s *Status) lookAtSpace(id int32, dir, limit string) {
	if _, err := os.Stat(filepath.Join(dir, "meta.properties")); err != nil {
		return // not here: a container, another machine behind this address
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err == nil && st.Blocks > 0 {
		s.judgeSpace(id, dir, limit, int64(st.Bavail)*st.Bsize, int64(st.Blocks-st.Bfree)*st.Bsize)
	}
}

func (s *Status) judgeSpace(id int32, dir, limit string, free, used int64) {
	percent := 100 * (used / 1024) / ((used+free)/1024 + 1)
	const do = "delete records (scripts/kafka-configs.sh: retention.bytes, retention.ms; scripts/kafka-delete-records.sh), move partitions away with scripts/kafka-reassign-partitions.sh, or give it a larger disk"
	if n, err := strconv.ParseInt(limit, 10, 64); err == nil && free < n {
		s.problem("log directory", do, "%s of broker %d has %s free, less than %s=%d: records are refused", dir, id, size(free), minFree, n)
	} else if percent >= fullPercent {
		s.problem("log directory", do, "%s of broker %d is full to %d %%, %s are free", dir, id, percent, size(free))
	}
}

func size(n int64) string {
	const unit = 1 << 10
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 10*unit {
			return fmt.Sprintf("%d %s", n, u)
		}
		n /= unit
	}
	return fmt.Sprintf("%d TiB", n)
}

// isLocal tells whether an address is one of this machine.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	if name, err := os.Hostname(); ip == nil && (host == "localhost" || err == nil && host == name) {
		return true
	}
	if ip == nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}
