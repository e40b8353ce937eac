package zookeepershell

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// printer writes to standard output; events come while commands run.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *printer) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

// shell is one call of the tool.
type shell struct {
	settings
	out     *printer
	err     io.Writer
	code    int
	quit    bool
	watches atomic.Bool // printwatches
	count   int
	history map[int]string

	conn      *zk.Conn
	root      string // of the connect string
	connected chan struct{}
	lost      chan struct{} // no server could be reached
	done      chan struct{}
	unknown   bool // the server's name does not resolve
	closing   atomic.Bool

	watchMu  sync.Mutex
	watching map[string]bool // one event tells of a change, however often it was asked for
}

// connect opens a session in the background; the first command that needs it waits.
func (sh *shell) connect(server string) {
	sh.close()
	sh.unknown = false
	sh.out.printf("Connecting to %s\n", server)
	hosts, root, _ := strings.Cut(server, "/")
	sh.root = ""
	if root != "" {
		sh.root = "/" + strings.TrimSuffix(root, "/")
	}
	var list []string
	for h := range strings.SplitSeq(hosts, ",") {
		if h = strings.TrimSpace(h); h != "" {
			if !strings.Contains(h, ":") {
				h += ":2181"
			}
			list = append(list, h)
		}
	}
	lost := make(chan struct{})
	conn, events, err := zk.Connect(list, sh.timeout, zk.WithLogger(quiet{}), zk.WithDialer(dialer(len(list), lost)))
	if err != nil {
		fmt.Fprintf(sh.err, "Cannot connect to %s: %v\n", server, err)
		sh.unknown = true
		return
	}
	sh.conn, sh.connected, sh.lost, sh.done = conn, make(chan struct{}), lost, make(chan struct{})
	go sh.follow(events, sh.connected, sh.done)
}

// dialer tells when each server has refused once: then a command fails, and the session goes on trying.
func dialer(servers int, lost chan struct{}) zk.Dialer {
	refused := 0 // the session dials from one goroutine
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		conn, err := net.DialTimeout(network, address, timeout)
		if err != nil {
			if refused++; refused == servers {
				close(lost)
			}
		}
		return conn, err
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// follow prints what happens to the session, until it is closed.
func (sh *shell) follow(events <-chan zk.Event, connected, done chan struct{}) {
	defer close(done)
	var once sync.Once
	up := false
	for ev := range events {
		if ev.Type != zk.EventSession {
			continue // watches report by themselves
		}
		switch ev.State {
		case zk.StateHasSession:
			up = true
			sh.event("SyncConnected", "None", "null")
			once.Do(func() { close(connected) })
		case zk.StateDisconnected:
			if up && !sh.closing.Load() {
				sh.event("Disconnected", "None", "null")
			}
			up = false
		case zk.StateExpired:
			sh.event("Expired", "None", "null")
		}
	}
	once.Do(func() { close(connected) })
}

func (sh *shell) event(state, kind, path string) {
	if sh.watches.Load() {
		sh.out.printf("\nWATCHER::\n\nWatchedEvent state:%s type:%s path:%s\n", state, kind, path)
	}
}

// watch prints a node's next change. what is "children" or "data".
func (sh *shell) watch(what, full string, events <-chan zk.Event) {
	key := what + full
	sh.watchMu.Lock()
	defer sh.watchMu.Unlock()
	if sh.watching[key] {
		return
	}
	sh.watching[key] = true
	go func() {
		ev, ok := <-events
		sh.watchMu.Lock()
		delete(sh.watching, key)
		sh.watchMu.Unlock()
		if ok && ev.Err == nil && ev.Type != zk.EventNotWatching && ev.Type != zk.EventSession {
			sh.event("SyncConnected", strings.TrimPrefix(ev.Type.String(), "Event"), sh.relative(ev.Path))
		}
	}()
}

// errNotConnected is the answer to commands after close.
var errNotConnected = errors.New("Not connected")

// session waits for the session; how long a server may stay away is up to the caller's patience, as with zkCli.sh.
func (sh *shell) session() (*zk.Conn, error) {
	switch {
	case sh.conn == nil && sh.unknown:
		return nil, errLoss
	case sh.conn == nil:
		return nil, errNotConnected
	}
	limit := time.NewTimer(sh.timeout)
	defer limit.Stop()
	select {
	case <-sh.connected:
		return sh.conn, nil
	case <-sh.lost:
	case <-limit.C:
	}
	return nil, errLoss
}

var errLoss = errors.New("connection loss")

func (sh *shell) close() {
	if sh.conn == nil {
		return
	}
	sh.closing.Store(true)
	sh.conn.Close()
	<-sh.done
	sh.conn = nil
	sh.closing.Store(false)
}

// path checks a path as ZooKeeper's client does and puts it below the root.
func (sh *shell) path(p string) (string, error) {
	switch {
	case p == "":
		return "", refusal("Path length must be > 0")
	case p[0] != '/':
		return "", refusal("Path must start with / character")
	case p == "/":
		if sh.root != "" {
			return sh.root, nil
		}
		return p, nil
	case strings.HasSuffix(p, "/"):
		return "", refusal("Path must not end with / character")
	}
	for i, part := range strings.Split(p[1:], "/") {
		switch part {
		case "":
			return "", refusal("Invalid path string \"" + p + "\" caused by empty node name specified @" + fmt.Sprint(offset(p, i)))
		case ".", "..":
			return "", refusal("Invalid path string \"" + p + "\" caused by relative paths not allowed @" + fmt.Sprint(offset(p, i)+len(part)-1))
		}
	}
	return sh.root + p, nil
}

func offset(p string, part int) int {
	at := 1
	for _, s := range strings.Split(p[1:], "/")[:part] {
		at += len(s) + 1
	}
	return at
}

func (sh *shell) relative(p string) string {
	if r := strings.TrimPrefix(p, sh.root); r != "" {
		return r
	}
	return "/"
}

// refusal is a command that was understood and cannot be carried out as it stands.
type refusal string

func (r refusal) Error() string { return string(r) }

// run carries out one command.
func (sh *shell) run(words []string) {
	if len(words) == 0 {
		sh.fail("No command entered")
		return
	}
	name := words[0]
	if builtin := builtins[name]; builtin != nil {
		sh.code = 0
		builtin(sh, words)
		return
	}
	c := commands[name]
	if c == nil {
		sh.help()
		fmt.Fprintf(sh.err, "Command not found: Command not found %s\n", name)
		sh.code = unknownCommand
		return
	}
	sh.code = 0
	in, err := c.parse(words[1:])
	if err == nil && len(in.args) < c.need {
		sh.fail(strings.TrimSuffix(name+" "+c.usage, " "))
		return
	}
	if err == nil {
		err = c.run(sh, in)
	}
	if err != nil {
		sh.fail(err.Error())
	}
}

const unknownCommand = 127

func (sh *shell) fail(message string) {
	if strings.HasPrefix(message, "KeeperErrorCode = ConnectionLoss ") {
		fmt.Fprintf(sh.err, "gregor: no ZooKeeper answers at %s; check the address and that the server runs\n", sh.server)
	}
	fmt.Fprintln(sh.err, message)
	sh.code = 1
}

func (sh *shell) help() {
	fmt.Fprintln(sh.err, "ZooKeeper -server host:port [-zk-tls-config-file <file>] cmd args")
	var lines []string
	for name, c := range commands {
		lines = append(lines, name+" "+c.usage)
	}
	lines = append(lines, "connect host:port", "history ", "printwatches on|off", "quit ", "redo cmdno")
	sort.Strings(lines)
	for _, l := range lines {
		fmt.Fprintln(sh.err, "\t"+l)
	}
}
