package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a child process with its output in a file.
type Process struct {
	Name string
	Log  string // path of the file that takes standard output and error

	cmd  *exec.Cmd
	done chan struct{}

	mu struct {
		sync.Mutex
		last Usage // as last read while it lived
		err  error // how it ended; valid once done is closed
	}
}

// Usage is what a process has used so far.
type Usage struct {
	CPU     time.Duration // user and system time
	RSS     int64         // bytes resident now
	PeakRSS int64
}

// startProcess runs argv with its output appended to dir/name.log. The child is killed if this program dies.
func startProcess(dir, name string, env []string, argv ...string) (*Process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &Process{Name: name, Log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A group of its own, so that a Ctrl-C at the terminal reaches only the test, which then stops its children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig is about the thread that starts the child: it has to live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = p.cmd.Wait()
		p.mu.Lock()
		p.mu.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the exit code of an ended process, -1 while it runs or when a signal ended it.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end with SIGTERM and waits for it; past the context's end it is killed and an error returned.
func (p *Process) Stop(ctx context.Context) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stopping %s (see %s): %w", p.Name, p.Log, ctx.Err())
	}
}

// Close ends the process at once if it still runs.
func (p *Process) Close() { p.Kill() }

// Pause stops the process without its knowing, and returns when none of its threads runs any more: the signal alone leaves them time
// to answer what has just arrived. Resume lets it go on.
func (p *Process) Pause() {
	p.signal(syscall.SIGSTOP)
	for !p.stopped() {
		select {
		case <-p.done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Resume lets a paused process go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// stopped says whether every thread is in state T (proc(5)). One that ended meanwhile counts.
func (p *Process) stopped() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		// PID (NAME) STATE: the name may hold parentheses of its own.
		if i := strings.LastIndex(string(stat), ") "); err == nil && i >= 0 && !strings.HasPrefix(string(stat[i+2:]), "T") {
			return false
		}
	}
	return true
}

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		// An error means that it ended meanwhile.
		_ = p.cmd.Process.Signal(s)
	}
}

// Usage reads /proc. For an ended process it returns the last reading.
func (p *Process) Usage() (Usage, error) {
	u, err := ReadUsage(p.PID())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.mu.last == (Usage{}) {
			return Usage{}, err
		}
		return p.mu.last, nil
	}
	p.mu.last = u
	return u, nil
}

// clockTick is USER_HZ, which is 100 on every Linux architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// ReadUsage reads /proc for any process.
func ReadUsage(pid int) (Usage, error) {
	var u Usage
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The command name is in parentheses and may hold spaces; fields are counted from behind it (man 5 proc).
	_, rest, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 22 {
		return u, errors.New("unexpected /proc/PID/stat: " + string(b))
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return u, err
	}
	u.CPU = time.Duration(user+system) * clockTick
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.RSS = statusKB(string(status), "VmRSS:")
	u.PeakRSS = statusKB(string(status), "VmHWM:")
	return u, nil
}

func statusKB(status, key string) int64 {
	_, rest, ok := strings.Cut(status, key)
	if !ok {
		return 0
	}
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	return n << 10
}

// Exited says whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
