package zkserver

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"gregor/internal/vfs"
	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

// version is what the embedded server says it is: that of the ZooKeeper it stands in for.
const version = "3.8.0-gregor, built on 2022-02-25 08:49 UTC"

// stats is what srvr, stat and mntr show.
type stats struct {
	received, sent          int64
	minimum, maximum, total time.Duration
	count                   int64
}

func (s *stats) add(latency time.Duration) {
	s.sent++
	if s.count == 0 || latency < s.minimum {
		s.minimum = latency
	}
	s.maximum = max(s.maximum, latency)
	s.total += latency
	s.count++
}

func (s *stats) latencies() (minimum int64, average float64, maximum int64) {
	if s.count > 0 {
		average = float64(s.total.Microseconds()) / 1000 / float64(s.count)
	}
	return s.minimum.Milliseconds(), average, s.maximum.Milliseconds()
}

// lastRequest is what cons shows of a connection.
type lastRequest struct {
	stats
	op   jute.Op
	xid  int32
	zxid int64
	at   time.Time
	took time.Duration
}

func (l *lastRequest) add(r *request, latency time.Duration, zxid int64, now time.Time) {
	l.stats.add(latency)
	l.op, l.xid, l.zxid, l.at, l.took = r.op, r.xid, zxid, now, latency
}

var words = map[string]func(*Server, *bytes.Buffer){
	"ruok": func(_ *Server, b *bytes.Buffer) { b.WriteString("imok") },
	"srvr": func(s *Server, b *bytes.Buffer) { s.wordSrvr(b, false) },
	"stat": func(s *Server, b *bytes.Buffer) { s.wordSrvr(b, true) },
	"conf": (*Server).wordConf, "cons": (*Server).wordCons, "crst": (*Server).wordCrst, "dump": (*Server).wordDump,
	"envi": wordEnvi, "srst": (*Server).wordSrst, "wchs": (*Server).wordWchs, "wchp": (*Server).wordWchp,
	"wchc": (*Server).wordWchc, "mntr": (*Server).wordMntr, "dirs": (*Server).wordDirs,
	"isro": func(_ *Server, b *bytes.Buffer) { b.WriteString("rw") },
}

func isWord(w string) bool { return words[w] != nil }

// answerWord answers a four-letter word, after which the connection is closed.
func (s *Server) answerWord(c *conn, word string) error {
	var b bytes.Buffer
	if s.opts.Words != nil && !slices.Contains(s.opts.Words, word) {
		fmt.Fprintf(&b, "%s is not executed because it is not in the whitelist.\n", word)
	} else {
		s.call(context.Background(), func() { words[word](s, &b) })
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(handshakeTimeout))
	_, err := c.nc.Write(b.Bytes())
	return err
}

func (s *Server) wordSrvr(b *bytes.Buffer, clients bool) {
	fmt.Fprintf(b, "Zookeeper version: %s\n", version)
	if clients {
		b.WriteString("Clients:\n")
		for _, c := range s.byAge() {
			fmt.Fprintf(b, " /%v[1](queued=%d,recved=%d,sent=%d)\n", c.nc.RemoteAddr(), len(c.queue), c.last.received, c.last.sent)
		}
		b.WriteString("\n")
	}
	minimum, average, maximum := s.stats.latencies()
	fmt.Fprintf(b, "Latency min/avg/max: %d/%s/%d\n", minimum, decimal(average), maximum)
	fmt.Fprintf(b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", s.stats.received, s.stats.sent, s.connections(), s.outstanding())
	fmt.Fprintf(b, "Zxid: 0x%x\nMode: standalone\nNode count: %d\n", s.tree.Zxid(), s.tree.Nodes())
}

// decimal prints as Java prints a double that is rounded to four places.
func decimal(v float64) string {
	s := strings.TrimRight(fmt.Sprintf("%.4f", v), "0")
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	return s
}

func (s *Server) byAge() []*conn {
	list := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return list
}

func (s *Server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns)
}

func (s *Server) outstanding() int {
	n := 0
	for _, c := range s.conns {
		n += len(c.queue)
	}
	return n
}

func (s *Server) wordConf(b *bytes.Buffer) {
	port := 0
	s.mu.Lock()
	for ln := range s.mu.listeners {
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			port = a.Port
		}
	}
	s.mu.Unlock()
	fmt.Fprintf(b, "clientPort=%d\nsecureClientPort=-1\ndataDir=%s\ndataDirSize=%d\ndataLogDir=%s\ndataLogSize=%d\n", port,
		s.opts.DataDir, dirSize(s.opts.FS, s.opts.DataDir, dbName), s.opts.DataLogDir, dirSize(s.opts.FS, s.opts.DataLogDir, logPrefix))
	fmt.Fprintf(b, "tickTime=%d\nmaxClientCnxns=%d\nminSessionTimeout=%d\nmaxSessionTimeout=%d\nclientPortListenBacklog=-1\nserverId=0\n",
		s.opts.TickTime.Milliseconds(), s.opts.MaxClientCnxns, s.opts.MinSessionTimeout.Milliseconds(), s.opts.MaxSessionTimeout.Milliseconds())
}

func dirSize(fsys vfs.FS, dir, prefix string) int64 {
	if dir == "" {
		return 0
	}
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return 0
	}
	var size int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), prefix) {
			size += info.Size()
		}
	}
	return size
}

func (s *Server) wordDirs(b *bytes.Buffer) {
	fmt.Fprintf(b, "datadir_size: %d\nlogdir_size: %d\n", dirSize(s.opts.FS, s.opts.DataDir, dbName), dirSize(s.opts.FS, s.opts.DataLogDir, logPrefix))
}

func (s *Server) wordCons(b *bytes.Buffer) {
	for _, c := range s.byAge() {
		fmt.Fprintf(b, " /%v[1](queued=%d,recved=%d,sent=%d", c.nc.RemoteAddr(), len(c.queue), c.last.received, c.last.sent)
		if c.ses != nil {
			minimum, average, maximum := c.last.latencies()
			fmt.Fprintf(b, ",sid=0x%x,lop=%v,est=%d,to=%d,lcxid=0x%x,lzxid=0x%x,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d", c.ses.id,
				c.last.op, c.since.UnixMilli(), c.ses.timeout.Milliseconds(), uint32(c.last.xid), c.last.zxid, c.last.at.UnixMilli(),
				c.last.took.Milliseconds(), minimum, int64(average), maximum)
		}
		b.WriteString(")\n")
	}
	b.WriteString("\n")
}

func (s *Server) wordCrst(b *bytes.Buffer) {
	for _, c := range s.conns {
		c.last = lastRequest{}
	}
	b.WriteString("Connection stats reset.\n")
}

func (s *Server) wordSrst(b *bytes.Buffer) {
	s.stats = stats{}
	b.WriteString("Server stats reset.\n")
}

func (s *Server) wordDump(b *bytes.Buffer) {
	b.WriteString("SessionTracker dump:\n")
	byExpiry := map[int64][]int64{}
	s.tree.Sessions(func(t *tree.Session) {
		if ses := s.sessions[t.ID]; ses != nil {
			at := ses.heard.Add(ses.timeout).UnixMilli()
			byExpiry[at] = append(byExpiry[at], t.ID)
		}
	})
	at := make([]int64, 0, len(byExpiry))
	for t := range byExpiry {
		at = append(at, t)
	}
	slices.Sort(at)
	fmt.Fprintf(b, "Session Sets (%d)/(%d):\n", len(at), s.countSessions())
	for _, t := range at {
		fmt.Fprintf(b, "%d expire at %s:\n", len(byExpiry[t]), time.UnixMilli(t).Format("Mon Jan 02 15:04:05 MST 2006"))
		for _, id := range byExpiry[t] {
			fmt.Fprintf(b, "\t0x%x\n", id)
		}
	}
	_, owners := s.tree.EphemeralCount()
	fmt.Fprintf(b, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", owners)
	s.tree.Sessions(func(t *tree.Session) {
		paths := s.tree.Ephemerals(t.ID)
		if len(paths) == 0 {
			return
		}
		fmt.Fprintf(b, "0x%x:\n", t.ID)
		for _, p := range paths {
			fmt.Fprintf(b, "\t%s\n", p)
		}
	})
	fmt.Fprintf(b, "Connections dump:\nConnections Sets (%d)/(%d):\n", min(1, len(s.conns)), len(s.conns))
	for _, c := range s.byAge() {
		id := int64(0)
		if c.ses != nil {
			id = c.ses.id
		}
		fmt.Fprintf(b, "\tip: /%v sessionId: 0x%x\n", c.nc.RemoteAddr(), id)
	}
}

func (s *Server) countSessions() int {
	n := 0
	s.tree.Sessions(func(*tree.Session) { n++ })
	return n
}

func (s *Server) wordWchs(b *bytes.Buffer) {
	watchers, paths, watches := s.watches.Counts()
	fmt.Fprintf(b, "%d connections watching %d paths\nTotal watches:%d\n", watchers, paths, watches)
}

func (s *Server) sessionOf(id tree.WatcherID) int64 {
	if c := s.conns[id]; c != nil && c.ses != nil {
		return c.ses.id
	}
	return 0
}

func (s *Server) wordWchp(b *bytes.Buffer) {
	s.watches.ByPath(func(path string, ids []tree.WatcherID) {
		fmt.Fprintf(b, "%s\n", path)
		for _, id := range ids {
			fmt.Fprintf(b, "\t0x%x\n", s.sessionOf(id))
		}
	})
	b.WriteString("\n")
}

func (s *Server) wordWchc(b *bytes.Buffer) {
	for _, c := range s.byAge() {
		paths := s.watches.PathsOf(c.id)
		if len(paths) == 0 {
			continue
		}
		fmt.Fprintf(b, "0x%x\n", s.sessionOf(c.id))
		for _, p := range paths {
			fmt.Fprintf(b, "\t%s\n", p)
		}
	}
	b.WriteString("\n")
}

func (s *Server) wordMntr(b *bytes.Buffer) {
	minimum, average, maximum := s.stats.latencies()
	ephemerals, _ := s.tree.EphemeralCount()
	_, _, watches := s.watches.Counts()
	for _, kv := range []struct {
		key   string
		value any
	}{
		{"version", version}, {"server_state", "standalone"}, {"peer_state", "leading - broadcast"},
		{"ephemerals_count", ephemerals}, {"min_latency", minimum}, {"avg_latency", decimal(average)},
		{"num_alive_connections", s.connections()}, {"max_file_descriptor_count", maxFiles()},
		{"outstanding_requests", s.outstanding()}, {"approximate_data_size", s.tree.DataSize()},
		{"znode_count", s.tree.Nodes()}, {"global_sessions", s.countSessions()}, {"local_sessions", 0},
		{"uptime", s.now.Sub(s.begun).Milliseconds()}, {"last_zxid", fmt.Sprintf("0x%x", s.tree.Zxid())},
		{"max_latency", maximum}, {"packets_sent", s.stats.sent}, {"packets_received", s.stats.received},
		{"watch_count", watches}, {"open_file_descriptor_count", openFiles()},
	} {
		if kv.key == "peer_state" || kv.key == "last_zxid" {
			continue // of an ensemble only
		}
		fmt.Fprintf(b, "zk_%s\t%v\n", kv.key, kv.value)
	}
}

func wordEnvi(_ *Server, b *bytes.Buffer) {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	home, _ := os.UserHomeDir()
	fmt.Fprintf(b, "Environment:\nzookeeper.version=%s\nhost.name=%s\ngo.version=%s\nos.name=%s\nos.arch=%s\nuser.home=%s\nuser.dir=%s\n",
		version, host, runtime.Version(), runtime.GOOS, runtime.GOARCH, home, dir)
}
