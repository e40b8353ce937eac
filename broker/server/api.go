package server

import (
	"context"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one row of the table of request types. ApiVersions, decoding, dispatch and, later, authorisation and quotas derive from it.
type API struct {
	Key                    kmsg.Key
	MinVersion, MaxVersion int16
	// ClusterAction marks requests that only brokers send (and, once there is an authorizer, need ClusterAction on the cluster).
	ClusterAction bool
	// AnyVersion lets versions outside the range reach Start (ApiVersions answers those instead of closing). It needs Start.
	AnyVersion bool

	// Exactly one of Handle and Start is set.
	//
	// Handle serves a request to its end before the connection's next request is read. msg was decoded by kmsg after its counts
	// were bounded. A returned error means that the request cannot be answered: the connection is closed and the reason logged.
	// A nil response with a nil error sends nothing.
	Handle func(ctx context.Context, r *Request, msg kmsg.Request) (kmsg.Response, error)

	// Start begins a request in arrival order and returns without waiting for it to complete; it must see to it that exactly one of
	// r.Complete, r.CompleteSilently and r.Fail is called, from any goroutine, unless it returns an error, which closes the
	// connection. Body decoding is its own.
	Start func(ctx context.Context, r *Request) error
}

// Request is one request as it came off the wire. It is owned by the handler until Complete (or Handle's return); Body and everything
// that aliases it (a decoded message's byte fields, record batches) must not be used after that, or after ReleaseBody.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      *string
	// Body is what follows the header.
	Body []byte

	ReceivedAt time.Time
	// Principal is "User:ANONYMOUS" on PLAINTEXT.
	Principal string
	// Listener is the listener's name, for example PLAINTEXT.
	Listener string
	// ControlPlane is true on the listener named by control.plane.listener.name.
	ControlPlane bool
	RemoteAddr   net.Addr

	conn    *conn
	owner   *buffer // holds Body
	next    *Request
	resp    *Response
	done    bool
	onClose Closer
	ticket  uint64 // onClose's

	// What is counted and logged of it, when somebody wants to know: times since ReceivedAt.
	queued, local, completed, throttled time.Duration
	size                                int
	follower                            bool
	logged                              *LoggedRequest
}

// ConnID is Kafka's connection id, local-remote-index, as logs and fetch sessions show it.
func (r *Request) ConnID() string { return r.conn.ID() }

// SameConnection says whether both requests came over one connection.
func (r *Request) SameConnection(o *Request) bool { return r.conn == o.conn }

// FileRange is a reference to an open file. Release is called exactly once per Response.AddFile, sent or not. While it is held the
// descriptor stays open and the bytes in the range do not change.
type FileRange interface {
	ReadAt(p []byte, off int64) (int, error)
	// Fd is the descriptor for sendfile; ok is false for files in memory.
	Fd() (fd uintptr, ok bool)
	Release()
}

// Closer is told that nobody waits for a request's answer any more; see Request.OnClose.
type Closer interface {
	RequestClosed(ticket uint64)
}

// Job is something that can wait until a connection's responses are out; see Later.
type Job interface{ Resume() }

// Completion is what the completion point sees of a request: the one place that accounts requests and, with quotas, throttles.
type Completion struct {
	Request *Request
	// Bytes is the response's size with its length prefix; 0 when nothing is sent.
	Bytes int
}
