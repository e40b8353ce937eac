// Package serverstop is kafka-server-stop.sh and zookeeper-server-stop.sh: it signals the servers that run on this machine.
//
// Owns: how a server's process is told from all others.
// Guarded by: nothing; one call.
// Invariants: only processes whose program is gregor and whose command is the server's are signalled; never this process, never
// Apache's servers, an editor with the script open, or a shell whose arguments mention it.
// Imports: golang.org/x/sys.
// Kafka counterpart: bin/kafka-server-stop.sh, bin/zookeeper-server-stop.sh.
package serverstop

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kafka stops brokers, ZooKeeper stops embedded ZooKeeper servers that run on their own.
var (
	Kafka     = Server{Command: "kafka-server-start", Class: "kafka.Kafka", Bare: true, None: "No kafka server to stop"}
	ZooKeeper = Server{Command: "zookeeper-server-start", Class: "org.apache.zookeeper.server.quorum.QuorumPeerMain", None: "No zookeeper server to stop"}
)

// Server says which processes are meant.
type Server struct {
	Command string // what follows `gregor`
	Class   string // the same by its Java class, after kafka-run-class
	Bare    bool   // gregor without a command is this server too
	None    string // what is said when there is none
}

// Main signals every process of the server: TERM, or what the environment's SIGNAL names. Kafka's script looks at no argument; who asks
// for --help does not want servers stopped.
func (s Server) Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		fmt.Fprintf(stderr, "Asks every %s of gregor on this machine to stop (SIGTERM, or the signal that the environment's SIGNAL names).\n"+
			"It takes no flags, and ends with 1 when there is none to stop.\n", s.Command)
		return 1
	}
	return s.stop("/proc", os.Getenv("SIGNAL"), syscall.Kill, stdout, stderr)
}

func (s Server) stop(proc, name string, kill func(int, syscall.Signal) error, stdout, stderr io.Writer) int {
	sig, err := parseSignal(name)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	pids, err := s.find(proc)
	if err != nil {
		fmt.Fprintf(stderr, "cannot list processes: %v\n", err)
		return 1
	}
	if len(pids) == 0 {
		fmt.Fprintln(stdout, s.None)
		return 1
	}
	code := 0
	for _, pid := range pids {
		if err := kill(pid, sig); err != nil {
			fmt.Fprintf(stderr, "kill: (%d) - %v\n", pid, err)
			code = 1
		}
	}
	return code
}

func (s Server) find(proc string) ([]int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil {
			continue // another user's, the kernel's, or gone
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && s.matches(exe, cmdline) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// matches decides by the program's file and its arguments.
func (s Server) matches(exe string, cmdline []byte) bool {
	if filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "gregor" || len(cmdline) == 0 {
		return false
	}
	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0}) {
		args = append(args, string(arg))
	}
	isCommand := func(word string) bool { return strings.TrimSuffix(filepath.Base(word), ".sh") == s.Command }
	if isCommand(args[0]) {
		return true
	}
	switch {
	case len(args) == 1:
		return s.Bare && strings.TrimSuffix(filepath.Base(args[0]), ".sh") == "gregor"
	case isCommand(args[1]):
		return true
	}
	return strings.TrimSuffix(args[1], ".sh") == "kafka-run-class" && slices.Contains(args[2:], s.Class)
}

func parseSignal(name string) (syscall.Signal, error) {
	if name == "" {
		return syscall.SIGTERM, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	upper := strings.ToUpper(name)
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(upper, "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("kill: %s: invalid signal specification", name)
}
