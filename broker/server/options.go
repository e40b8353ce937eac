package server

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options is everything a Server needs. Zero values take the defaults that each field names.
type Options struct {
	APIs      []API
	Listeners []ListenerConfig
	// Listen opens a listening socket; net.Listen when nil.
	Listen func(network, addr string) (net.Listener, error)
	Log    logrus.FieldLogger

	// MaxRequestBytes is socket.request.max.bytes (104857600).
	MaxRequestBytes int
	// QueuedMaxRequests is queued.max.requests (500). A request starts as soon as it is read, so there is no queue to bound by count:
	// it gives QueuedMaxBytes its default.
	QueuedMaxRequests int
	// QueuedMaxBytes is queued.max.request.bytes; -1 or 0 means QueuedMaxRequests x 1 MB. Requests under 64 KB do not count.
	QueuedMaxBytes int64
	// MaxInFlight bounds the requests of one connection that were started and not answered (128).
	MaxInFlight int
	// MaxConnections is max.connections (0: unlimited). A listener that is full waits with accepting.
	MaxConnections int
	// MaxConnectionsPerIP is max.connections.per.ip (0 means unlimited here; a limit of none at all is an override of 0).
	MaxConnectionsPerIP int
	// MaxConnectionsPerIPOverrides is max.connections.per.ip.overrides by IP address.
	MaxConnectionsPerIPOverrides map[string]int
	// ConnectionRate is max.connection.creation.rate: how many connections a second are accepted (0: unlimited).
	ConnectionRate int
	// IdleTimeout is connections.max.idle.ms (10 minutes); negative means never.
	IdleTimeout time.Duration
	// SendBuffer and ReceiveBuffer are socket.send.buffer.bytes and socket.receive.buffer.bytes; 0 or less leaves the system's own
	// tuning, which is faster than any fixed size on a fast network.
	SendBuffer, ReceiveBuffer int

	// Metrics counts requests; nil counts none.
	Metrics *Metrics
	// RequestLog is asked about each request; nil logs none.
	RequestLog RequestLog
	// ErrorsOf calls add with each error code of a response, 0 included; nil counts none of CompleteMessage's.
	ErrorsOf func(resp kmsg.Response, add func(code int16))

	// Complete sees every request as it completes, before its response is queued, and returns throttle_time_ms, and for how long the
	// connection then reads no further request. Nil means no throttling.
	Complete func(Completion) (throttleMs int32, mute time.Duration)
}

// ListenerConfig is one listener.
type ListenerConfig struct {
	// Name is the listener's name, for example PLAINTEXT or INTERNAL.
	Name string
	// Addr is host:port; an empty host listens on every interface, port 0 on any free port.
	Addr string
	// ControlPlane marks control.plane.listener.name. It does not count into MaxConnections.
	ControlPlane bool
	// InterBroker marks the inter-broker listener. When there are others, MaxConnections does not hold its connections back: the client's
	// connection that has been idle longest is closed instead.
	InterBroker bool
	// MaxConnections is listener.name.NAME.max.connections (0: unlimited).
	MaxConnections int
	// ConnectionRate is listener.name.NAME.max.connection.creation.rate (0: unlimited).
	ConnectionRate int
}

func (o *Options) setDefaults() error {
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	if o.Log == nil {
		return errors.New("server: Options.Log is missing")
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.MaxRequestBytes, 100<<20)
	def(&o.QueuedMaxRequests, 500)
	def(&o.MaxInFlight, 128)
	if o.QueuedMaxBytes <= 0 {
		o.QueuedMaxBytes = int64(o.QueuedMaxRequests) << 20
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 10 * time.Minute
	}
	names := map[string]bool{}
	for _, l := range o.Listeners {
		if names[l.Name] {
			return fmt.Errorf("server: listener %s is given twice", l.Name)
		}
		names[l.Name] = true
	}
	return nil
}

// rows indexes the table by request type.
func rows(apis []API) (map[int16]*API, error) {
	m := make(map[int16]*API, len(apis))
	for i := range apis {
		a := &apis[i]
		key := a.Key.Int16()
		if m[key] != nil {
			return nil, fmt.Errorf("server: request type %d (%s) is in the table twice", key, a.Key.Name())
		}
		if (a.Handle == nil) == (a.Start == nil) {
			return nil, fmt.Errorf("server: request type %d (%s) needs exactly one of Handle and Start", key, a.Key.Name())
		}
		m[key] = a
	}
	return m, nil
}
