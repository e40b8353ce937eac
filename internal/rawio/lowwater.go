package rawio

import "golang.org/x/sys/unix"

const (
	// maxAwaited is how much of something large the system collects before it wakes its reader, minAwaited what is worth telling it.
	maxAwaited = 512 << 10
	minAwaited = 128 << 10
)

// LowWater is how much of what a peer sends a socket collects before its reader is woken (SO_RCVLOWAT): woken for each segment of a request
// of a megabyte, a reader spends a fifth of its time on that. Its zero value belongs to a new socket. It is for one goroutine.
type LowWater struct {
	set int // 0: never
}

// Await tells the system that so many bytes are missing. It is called before each wait: what was set for the one before holds on. The system
// wakes the reader earlier when the peer closes or the socket's buffer is full. Where it cannot be set the reader is woken as usual; a smaller
// number is never refused.
func (l *LowWater) Await(fd uintptr, missing int) {
	n := min(missing, maxAwaited)
	if n < minAwaited {
		n = 1
	}
	if n == l.set || n == 1 && l.set == 0 {
		return
	}
	if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, n); err == nil {
		l.set = n
	}
}
