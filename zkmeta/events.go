package zkmeta

import "sync"

// EventKind says what an Event is about.
type EventKind uint8

// Kinds of events. The first four are about a path that was read with one of the W functions; such an event comes at most once per
// reading, and reading again is the only way to learn what happened.
const (
	NodeCreated EventKind = iota + 1
	NodeDeleted
	DataChanged
	ChildrenChanged
	// Disconnected: the session may live on.
	Disconnected
	// MaybeExpired: nothing was heard for the session's timeout; assume that its ephemeral znodes are gone.
	MaybeExpired
	// Reconnected: the session lives; read again whatever is watched, events may have been lost.
	Reconnected
	// Expired: the session is gone, with its ephemeral znodes.
	Expired
	// NewSession: after Expired; register again, read again whatever is watched.
	NewSession
)

var kindNames = [...]string{"", "NodeCreated", "NodeDeleted", "DataChanged", "ChildrenChanged", "Disconnected", "MaybeExpired",
	"Reconnected", "Expired", "NewSession"}

func (k EventKind) String() string { return kindNames[k] }

// Event is a hint from ZooKeeper: path changed, or the session did.
type Event struct {
	Kind    EventKind
	Path    string // of the first four kinds, without the chroot
	Session int64
}

// dispatcher hands events in order to its subscribers, on a goroutine of its own: put never blocks, however slow they are. Its
// queue is not bounded because the number of watches that can fire is.
type dispatcher struct {
	mu struct {
		sync.Mutex
		queue   []Event
		subs    map[int]func(Event)
		next    int
		stopped bool
	}
	wake chan struct{}
}

func newDispatcher() *dispatcher {
	d := &dispatcher{wake: make(chan struct{}, 1)}
	d.mu.subs = map[int]func(Event){}
	go d.run()
	return d
}

func (d *dispatcher) put(ev Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.stopped {
		return
	}
	d.mu.queue = append(d.mu.queue, ev)
	d.ring()
}

func (d *dispatcher) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dispatcher) subscribe(f func(Event)) (cancel func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mu.next
	d.mu.next++
	d.mu.subs[n] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.mu.subs, n)
	}
}

func (d *dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.stopped = true
	d.ring()
}

func (d *dispatcher) run() {
	for range d.wake {
		for {
			d.mu.Lock()
			if d.mu.stopped {
				d.mu.Unlock()
				return
			}
			if len(d.mu.queue) == 0 {
				d.mu.Unlock()
				break
			}
			ev := d.mu.queue[0]
			d.mu.queue = d.mu.queue[1:]
			subs := make([]func(Event), 0, len(d.mu.subs))
			for i := 0; i < d.mu.next; i++ {
				if f := d.mu.subs[i]; f != nil {
					subs = append(subs, f)
				}
			}
			d.mu.Unlock()
			for _, f := range subs {
				f(ev)
			}
		}
	}
}
