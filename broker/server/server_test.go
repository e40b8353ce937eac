package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// harness is a server on a loopback port whose Heartbeat requests (key 12) are served by a function of the test: the body is opaque.
type harness struct {
	*Server
	logs *test.Hook
	addr string
}

func start(t testing.TB, opt Options, apis ...API) *harness {
	t.Helper()
	log, hook := test.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	opt.Log = log
	opt.APIs = apis
	if opt.Listeners == nil {
		opt.Listeners = []ListenerConfig{{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}}
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() { s.Close() })
	return &harness{Server: s, logs: hook, addr: s.Addr(opt.Listeners[0].Name).String()}
}

// accepted waits until the server has accepted so many connections.
func (h *harness) accepted(n int) {
	for h.Connections() < n {
		runtime.Gosched()
	}
}

func (h *harness) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// produceAPI serves Produce requests with raw bodies.
func produceAPI(f func(r *Request) error) API {
	return API{Key: kmsg.Produce, MinVersion: 0, MaxVersion: 8, Start: func(_ context.Context, r *Request) error { return f(r) }}
}

func frame(key, version int16, corr int32, body []byte) []byte {
	b := make([]byte, 4, 32+len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(corr))
	b = append(b, 0, 4, 't', 'e', 's', 't')
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func readResponse(t testing.TB, c io.Reader) (corr int32, body []byte) {
	t.Helper()
	corr, body, err := tryRead(c)
	if err != nil {
		t.Fatal("reading a response:", err)
	}
	return corr, body
}

func tryRead(c io.Reader) (corr int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err = io.ReadFull(c, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

func echo(r *Request) error {
	p := r.NewResponse()
	p.B = append(p.B, r.Body...)
	r.Complete(p)
	return nil
}

func TestRequestsOfAnySizeAreEchoed(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	c := h.dial(t)
	sizes := []int{0, 1, 100, 1000, chunkSize - 14, chunkSize - 13, chunkSize, chunkSize + 1, bigThreshold, 300_000, 1 << 20, directSize + 1, 9_000_001}
	go func() {
		for i, n := range sizes {
			c.Write(frame(0, 3, int32(i), bytes.Repeat([]byte{byte(i)}, n)))
		}
	}()
	for i, n := range sizes {
		corr, body := readResponse(t, c)
		if corr != int32(i) || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, n)) {
			t.Fatalf("request %d of %d bytes: got correlation id %d with %d bytes", i, n, corr, len(body))
		}
	}
}

func TestRequestsArriveByteByByte(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	c := h.dial(t)
	c.SetNoDelay(true)
	go func() {
		for i := range 3 {
			for _, b := range frame(0, 3, int32(i), []byte("hello")) {
				c.Write([]byte{b})
			}
		}
	}()
	for i := range 3 {
		if corr, body := readResponse(t, c); corr != int32(i) || string(body) != "hello" {
			t.Fatal(corr, body)
		}
	}
}

func TestResponsesKeepTheOrderOfRequests(t *testing.T) {
	var mu sync.Mutex
	var held []*Request
	full := make(chan struct{})
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, r); len(held) == 50 {
			close(full)
		}
		return nil
	}))
	c := h.dial(t)
	for i := range 50 {
		c.Write(frame(0, 3, int32(i), nil))
	}
	<-full
	go func() {
		for i := len(held) - 1; i >= 0; i-- {
			r := held[i]
			p := r.NewResponse()
			p.B = append(p.B, byte(r.CorrelationID))
			r.Complete(p)
		}
	}()
	for i := range 50 {
		if corr, body := readResponse(t, c); corr != int32(i) || body[0] != byte(i) {
			t.Fatalf("response %d has correlation id %d", i, corr)
		}
	}
}

func TestInFlightRequestsAreBounded(t *testing.T) {
	started := make(chan *Request, 100)
	h := start(t, Options{MaxInFlight: 3}, produceAPI(func(r *Request) error { started <- r; return nil }))
	c := h.dial(t)
	for i := range 5 {
		c.Write(frame(0, 3, int32(i), nil))
	}
	first := <-started
	<-started
	<-started
	first.Complete(first.NewResponse())
	readResponse(t, c)
	if r := <-started; r.CorrelationID != 3 {
		t.Fatal(r.CorrelationID)
	}
	if len(started) != 0 {
		t.Fatal("a fourth request was started")
	}
}

func TestHalfClosedConnectionGetsItsAnswers(t *testing.T) {
	got := make(chan *Request, 1)
	h := start(t, Options{}, produceAPI(func(r *Request) error { got <- r; return nil }))
	c := h.dial(t)
	c.Write(frame(0, 3, 7, []byte("x")))
	c.CloseWrite()
	r := <-got
	r.Complete(r.NewResponse())
	if corr, _ := readResponse(t, c); corr != 7 {
		t.Fatal(corr)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
}

func TestAnswersLeaveBeforeAMalformedRequestClosesTheConnection(t *testing.T) {
	got := make(chan *Request, 1)
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		if len(r.Body) == 0 {
			return errors.New("nothing")
		}
		got <- r
		return nil
	}))
	c := h.dial(t)
	c.Write(append(frame(0, 3, 7, []byte("x")), frame(0, 3, 8, nil)...))
	r := <-got
	r.Complete(r.NewResponse())
	if corr, _ := readResponse(t, c); corr != 7 {
		t.Fatal(corr)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
}

// osFile counts its references.
type osFile struct {
	*os.File
	released chan struct{}
	noFd     bool
}

func (f *osFile) Fd() (uintptr, bool) { return f.File.Fd(), !f.noFd }
func (f *osFile) Release()            { f.released <- struct{}{} }

func tempFile(t testing.TB, n int) (*osFile, []byte) {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &osFile{File: f, released: make(chan struct{}, 100)}, data
}

func TestFileRangesAreSentInPlace(t *testing.T) {
	for _, noFd := range []bool{false, true} {
		f, data := tempFile(t, 5<<20)
		f.noFd = noFd
		h := start(t, Options{}, produceAPI(func(r *Request) error {
			p := r.NewResponse()
			p.B = append(p.B, "a"...)
			p.AddFile(f, 10, 3<<20)
			p.B = append(p.B, "b"...)
			p.AddFile(f, 100, 50)
			p.AddFile(f, 4<<20, sendfileMin)
			r.Complete(p)
			return nil
		}))
		c := h.dial(t)
		c.Write(frame(0, 3, 1, nil))
		_, body := readResponse(t, c)
		want := "a" + string(data[10:10+3<<20]) + "b" + string(data[100:150]) + string(data[4<<20:4<<20+sendfileMin])
		if string(body) != want {
			t.Fatalf("noFd=%v: %d bytes, want %d", noFd, len(body), len(want))
		}
		for range 3 {
			<-f.released
		}
	}
}

func TestShortFileClosesTheConnection(t *testing.T) {
	f, _ := tempFile(t, 40_000)
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		p := r.NewResponse()
		p.AddFile(f, 0, 50_000)
		r.Complete(p)
		return nil
	}))
	c := h.dial(t)
	c.Write(frame(0, 3, 1, nil))
	if _, _, err := tryRead(c); err == nil {
		t.Fatal("a cut response was passed off as a whole one")
	}
	<-f.released
	h.mustLog(t, "ended 10000 bytes before")
}

// mustLog waits for nothing: the line is written before the connection closes.
func (h *harness) mustLog(t *testing.T, part string) {
	t.Helper()
	n := 0
	for _, e := range h.logs.AllEntries() {
		if strings.Contains(e.Message, part) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d log lines with %q, want 1; all: %v", n, part, messages(h.logs))
	}
}

func messages(h *test.Hook) (m []string) {
	for _, e := range h.AllEntries() {
		m = append(m, e.Message)
	}
	return m
}

func TestBadInputClosesWithOneLine(t *testing.T) {
	lying := frame(19, 0, 1, []byte{0x7f, 0xff, 0xff, 0xff, 0})
	for name, c := range map[string]struct {
		in   []byte
		line string
	}{
		"negative size":        {[]byte{0xff, 0xff, 0xff, 0xff}, "socket.request.max.bytes"},
		"oversized":            {[]byte("GET / HTTP/1.1\r\n\r\n"), "socket.request.max.bytes"},
		"unknown type":         {frame(99, 0, 1, nil), "unknown request type 99"},
		"negative type":        {frame(-1, 0, 1, nil), "unknown request type -1"},
		"type not served":      {frame(11, 0, 1, nil), "not served"},
		"version not served":   {frame(0, 9, 1, nil), "version 9 is not served"},
		"header cut short":     {[]byte{0, 0, 0, 3, 0, 0, 0}, "request header"},
		"client id cut short":  {[]byte{0, 0, 0, 10, 0, 0, 0, 3, 0, 0, 0, 1, 0x7f, 0xff}, "request header"},
		"count that lies":      {lying, "Topics"},
		"string that lies":     {frame(19, 0, 1, []byte{0, 0, 0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "CreateTopics"},
		"handler's own refuse": {frame(0, 0, 1, nil), "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, Options{MaxRequestBytes: 1 << 20},
				produceAPI(func(r *Request) error { return errors.New("refused") }),
				API{Key: kmsg.CreateTopics, MinVersion: 0, MaxVersion: 6,
					Handle: func(context.Context, *Request, kmsg.Request) (kmsg.Response, error) { panic("must not be reached") }})
			conn := h.dial(t)
			conn.Write(c.in)
			if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			h.mustLog(t, c.line)
			h.mustLog(t, conn.LocalAddr().String()+" on listener PLAINTEXT")
			// The server still serves others.
			other := h.dial(t)
			other.Write(frame(0, 9, 1, nil))
			io.ReadAll(other)
		})
	}
}

func TestLyingSizesAllocateNothing(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 100 {
		c := h.dial(t)
		c.Write([]byte{0x05, 0xf5, 0xe1, 0x00, 0, 0, 0, 3}) // 100,000,000 bytes
	}
	// One more round trip: the others' bytes were read before or will cost no more.
	c := h.dial(t)
	c.Write(frame(0, 3, 1, nil))
	readResponse(t, c)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 40<<20 {
		t.Errorf("100 connections that claim 100 MB each allocated %d bytes", grown)
	}
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	got := make(chan *Request, 1)
	h := start(t, Options{}, produceAPI(func(r *Request) error { got <- r; return nil }))
	busy, idle := h.dial(t), h.dial(t)
	busy.Write(frame(0, 3, 5, nil))
	r := <-got
	h.accepted(2) // what the listener's backlog still has is reset
	done := make(chan error)
	go func() { done <- h.Shutdown(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal("idle connection:", err)
	}
	if _, err := net.Dial("tcp", h.addr); err == nil {
		t.Log("the listener's backlog may still accept")
	}
	r.Complete(r.NewResponse())
	if corr, _ := readResponse(t, busy); corr != 5 {
		t.Fatal(corr)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := h.Connections(); n != 0 {
		t.Fatal(n, "connections left")
	}
}

// A connection that was made a moment before the server stops still gets its first request answered: franz-go takes one that ends before that
// for a wrong configuration, and fails what it was to send.
func TestShutdownAnswersTheFirstRequestOfANewConnection(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	c := h.dial(t)
	h.accepted(1)
	done := make(chan error, 1)
	go func() { done <- h.Shutdown(t.Context()) }()
	for stopping := false; !stopping; runtime.Gosched() {
		h.mu.Lock()
		for s := range h.mu.conns {
			s.mu.Lock()
			stopping = s.mu.drainingNew
			s.mu.Unlock()
		}
		h.mu.Unlock()
	}
	c.Write(frame(0, 3, 7, []byte("late")))
	if corr, body := readResponse(t, c); corr != 7 || string(body) != "late" {
		t.Fatal(corr, body)
	}
	if _, _, err := tryRead(c); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A long poll has promised nothing: a stop ends its wait instead of waiting for it.
func TestShutdownEndsLongPolls(t *testing.T) {
	parked := make(chan struct{}, 2)
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		var once sync.Once
		r.OnClose(closer(func() { once.Do(func() { r.Complete(r.NewResponse()) }) }), 0)
		parked <- struct{}{}
		return nil
	}))
	c := h.dial(t)
	c.Write(append(frame(0, 3, 1, nil), frame(0, 3, 2, nil)...))
	<-parked
	<-parked
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for want := range int32(2) {
		if corr, _ := readResponse(t, c); corr != want+1 {
			t.Fatal(corr)
		}
	}
	if _, _, err := tryRead(c); err != io.EOF {
		t.Fatal("not closed after the answers:", err)
	}
}

func TestShutdownInAHurry(t *testing.T) {
	got := make(chan *Request, 1)
	h := start(t, Options{}, produceAPI(func(r *Request) error { got <- r; return nil }))
	c := h.dial(t)
	c.Write(frame(0, 3, 5, nil))
	r := <-got
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Shutdown(ctx); err == nil {
		t.Fatal("no error although a request was cut off")
	}
	r.Complete(r.NewResponse()) // into nothing
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	h := start(t, Options{IdleTimeout: 80 * time.Millisecond}, produceAPI(echo))
	c := h.dial(t)
	c.Write(frame(0, 3, 1, nil))
	readResponse(t, c)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
}

func TestConnectionsPerAddressAreLimited(t *testing.T) {
	h := start(t, Options{MaxConnectionsPerIP: 2}, produceAPI(echo))
	for range 2 {
		c := h.dial(t)
		c.Write(frame(0, 3, 1, nil))
		readResponse(t, c)
	}
	c := h.dial(t)
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	h.mustLog(t, "maximum of 2 connections")
}

func TestFullListenerWaits(t *testing.T) {
	h := start(t, Options{MaxConnections: 1}, produceAPI(echo))
	first := h.dial(t)
	first.Write(frame(0, 3, 1, nil))
	readResponse(t, first)
	second := h.dial(t)
	second.Write(frame(0, 3, 2, nil))
	first.Close()
	if corr, _ := readResponse(t, second); corr != 2 {
		t.Fatal(corr)
	}
}

// Brokers reach each other however many clients there are: the client that was idle longest goes.
func TestInterBrokerListenerMakesRoom(t *testing.T) {
	h := start(t, Options{MaxConnections: 3, Listeners: []ListenerConfig{
		{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}, {Name: "INTERNAL", Addr: "127.0.0.1:0", InterBroker: true}}}, produceAPI(echo))
	use := func(c net.Conn) {
		t.Helper()
		c.Write(frame(0, 3, 1, nil))
		readResponse(t, c)
	}
	internal := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", h.Addr("INTERNAL").String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		use(c)
		return c
	}
	a, b, c := h.dial(t), h.dial(t), h.dial(t)
	for _, c := range []net.Conn{a, b, c, a} {
		use(c)
	}
	var peers []net.Conn
	for _, oldest := range []net.Conn{b, c, a} {
		peers = append(peers, internal())
		if _, err := oldest.Read(make([]byte, 1)); err == nil {
			t.Fatal("the client that was idle longest is still there")
		}
	}
	peers = append(peers, internal()) // no client is left: brokers are not held back
	for _, p := range peers {
		use(p)
	}
	if n := len(h.logs.AllEntries()); n != 3 {
		t.Errorf("%d log lines for three closed connections", n)
	}
}

// The only listener is everybody's, although brokers use it too.
func TestTheOnlyListenerIsNotProtected(t *testing.T) {
	h := start(t, Options{MaxConnections: 1, Listeners: []ListenerConfig{{Name: "PLAINTEXT", Addr: "127.0.0.1:0", InterBroker: true}}}, produceAPI(echo))
	first := h.dial(t)
	first.Write(frame(0, 3, 1, nil))
	readResponse(t, first)
	second := h.dial(t)
	second.Write(frame(0, 3, 2, nil))
	first.Write(frame(0, 3, 3, nil))
	if corr, _ := readResponse(t, first); corr != 3 || h.Connections() != 1 {
		t.Fatal(corr, h.Connections())
	}
	first.Close()
	if corr, _ := readResponse(t, second); corr != 2 {
		t.Fatal(corr)
	}
}

// A peer that closed its side is answered, and a long poll for it does not wait on.
func TestLongPollEndsWhenThePeerCloses(t *testing.T) {
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		var once sync.Once
		r.OnClose(closer(func() { once.Do(func() { r.Complete(r.NewResponse()) }) }), 0)
		return nil
	}))
	c := h.dial(t)
	c.Write(append(frame(0, 3, 1, nil), frame(0, 3, 2, nil)...))
	c.CloseWrite()
	for want := range int32(2) {
		if corr, _ := readResponse(t, c); corr != want+1 {
			t.Fatal(corr)
		}
	}
	if _, _, err := tryRead(c); err != io.EOF {
		t.Fatal("not closed after the answers:", err)
	}
}

func TestThrottleAndMute(t *testing.T) {
	h := start(t, Options{Complete: func(Completion) (int32, time.Duration) { return 30, 30 * time.Millisecond }},
		produceAPI(func(r *Request) error {
			p := r.NewResponse()
			p.AppendThrottle()
			r.Complete(p)
			return nil
		}))
	c := h.dial(t)
	begin := time.Now()
	for i := range 3 {
		c.Write(frame(0, 3, int32(i), nil))
	}
	for range 3 {
		if _, body := readResponse(t, c); binary.BigEndian.Uint32(body) != 30 {
			t.Fatal(body)
		}
	}
	if d := time.Since(begin); d < 60*time.Millisecond {
		t.Errorf("three throttled requests took only %v", d)
	}
}

func TestHandledRequestsWaitForTheirPredecessors(t *testing.T) {
	got := make(chan *Request, 1)
	h := start(t, Options{},
		produceAPI(func(r *Request) error { got <- r; return nil }),
		API{Key: kmsg.ListGroups, MinVersion: 0, MaxVersion: 4, Handle: func(_ context.Context, r *Request, msg kmsg.Request) (kmsg.Response, error) {
			if r.ClientID == nil || *r.ClientID != "test" {
				return nil, fmt.Errorf("client id %v", r.ClientID)
			}
			return kmsg.NewPtrListGroupsResponse(), nil
		}})
	c := h.dial(t)
	c.Write(frame(0, 3, 1, nil))
	c.Write(frame(16, 0, 2, nil))
	r := <-got
	go r.Complete(r.NewResponse())
	for want := int32(1); want <= 2; want++ {
		if corr, _ := readResponse(t, c); corr != want {
			t.Fatal(corr)
		}
	}
}

// Ten thousand idle connections may cost 200 MB at most; the client's half is in the same process here and counts along.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const n = 2000
	h := start(t, Options{}, produceAPI(echo))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		c := h.dial(t)
		c.Write(frame(0, 3, 1, []byte("x")))
		readResponse(t, c)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / n
	t.Logf("%d bytes per connection, client included", per)
	if per > 20_000 {
		t.Errorf("%d bytes per idle connection", per)
	}
}

// closer is a function as a Closer.
type closer func()

func (f closer) RequestClosed(uint64) { f() }

// A response that is completed elsewhere leaves at once if the socket takes it; a peer that does not read keeps nobody waiting, and gets
// everything in order when he reads again.
func TestCompleteHereDoesNotWaitForThePeer(t *testing.T) {
	const n, size = 600, 20_000
	h := start(t, Options{MaxInFlight: n}, produceAPI(func(r *Request) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := r.NewResponse()
			p.B = append(p.B, make([]byte, size)...)
			r.CompleteHere(p)
		}()
		<-done // would never come if it waited for the peer, who reads only after the last request was taken
		return nil
	}))
	c := h.dial(t)
	for i := range int32(n) {
		if _, err := c.Write(frame(0, 3, i, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(n) {
		if corr, body := readResponse(t, c); corr != i || len(body) < size {
			t.Fatal(i, corr, len(body))
		}
	}
}

// What a request leaves for later runs once its own response is out.
func TestLater(t *testing.T) {
	ran := make(chan int32, 3)
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		id := r.CorrelationID
		r.Later().Do(job(func() { ran <- id }))
		if id == 2 {
			return errors.New("bad")
		}
		r.Complete(r.NewResponse())
		return nil
	}))
	c := h.dial(t)
	for i := range int32(3) {
		c.Write(frame(0, 3, i, nil))
		if i < 2 {
			readResponse(t, c)
		}
		if got := <-ran; got != i {
			t.Fatal(got)
		}
	}
}

// A request may have been answered, and be another one by now, while its Start still has something to leave for later.
func TestLaterOutlivesTheRequest(t *testing.T) {
	ran := make(chan struct{})
	h := start(t, Options{}, produceAPI(func(r *Request) error {
		p := r.NewResponse()
		if r.CorrelationID == 0 {
			p.B = append(p.B, make([]byte, 16<<20)...)
			go r.Complete(p) // it has a writer of its own, which cannot finish before the client reads
			return nil
		}
		c, later := r.conn, r.Later()
		go r.Complete(p)
		for inFlight := 1; inFlight > 0; runtime.Gosched() {
			c.mu.Lock()
			inFlight = c.mu.inFlight
			c.mu.Unlock()
		}
		later.Do(job(func() { close(ran) }))
		return nil
	}))
	c := h.dial(t)
	c.Write(frame(0, 3, 0, nil))
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	c.Write(frame(0, 3, 1, nil))
	if _, err := io.CopyN(io.Discard, c, 16<<20); err != nil {
		t.Fatal(err)
	}
	if corr, _ := readResponse(t, c); corr != 1 {
		t.Fatal(corr)
	}
	<-ran
}

type job func()

func (j job) Resume() { j() }

// A large request that comes in pieces of any size is answered, a small one behind it too, and one that never ends ends its connection.
func TestLargeRequestInPieces(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	c := h.dial(t)
	big := frame(0, 3, 1, make([]byte, 3<<20+12345))
	go func() {
		for piece := 1; len(big) > 0; piece = piece*3%100_003 + 1 {
			n := min(piece, len(big))
			c.Write(big[:n])
			big = big[n:]
		}
		c.Write(frame(0, 3, 2, []byte("small")))
	}()
	for want := range int32(2) {
		if corr, _ := readResponse(t, c); corr != want+1 {
			t.Fatal(corr)
		}
	}
	c.Write(frame(0, 3, 3, make([]byte, 1<<20))[:700_001])
	c.CloseWrite()
	if _, _, err := tryRead(c); err != io.EOF {
		t.Fatal(err)
	}
}

// counting is a source of the numbers from 0 on, each a byte, in pieces of up to size.
type counting struct {
	size     int
	next     byte
	b        []byte
	fail     bool
	released chan struct{}
}

func (s *counting) Next(left int) ([]byte, error) {
	if s.fail {
		return nil, errors.New("nothing more can be made")
	}
	s.b = s.b[:0]
	for range min(s.size, left) {
		s.b = append(s.b, s.next)
		s.next++
	}
	return s.b, nil
}

func (s *counting) Release() { s.released <- struct{}{} }

func TestSourcesAreSentPieceByPiece(t *testing.T) {
	for _, length := range []int{1, 1000, 10_000, 3 << 20} {
		for _, size := range []int{1000, 1 << 20} {
			s := &counting{size: size, released: make(chan struct{}, 1)}
			f, data := tempFile(t, 20_000)
			h := start(t, Options{}, produceAPI(func(r *Request) error {
				p := r.NewResponse()
				p.B = append(p.B, "a"...)
				p.AddSource(s, length)
				p.B = append(p.B, "b"...)
				p.AddFile(f, 0, 20_000)
				r.Complete(p)
				return nil
			}))
			c := h.dial(t)
			c.Write(frame(0, 3, 1, nil))
			_, body := readResponse(t, c)
			want := []byte("a")
			for i := range length {
				want = append(want, byte(i))
			}
			want = append(append(want, 'b'), data...)
			if !bytes.Equal(body, want) {
				t.Fatalf("length %d in pieces of %d: %d bytes, want %d", length, size, len(body), len(want))
			}
			<-s.released
			<-f.released
		}
	}
}

func TestFailingSourceClosesTheConnection(t *testing.T) {
	for _, length := range []int{10, 1 << 20} {
		s := &counting{fail: true, released: make(chan struct{}, 1)}
		h := start(t, Options{}, produceAPI(func(r *Request) error {
			p := r.NewResponse()
			p.AddSource(s, length)
			r.Complete(p)
			return nil
		}))
		c := h.dial(t)
		c.Write(frame(0, 3, 1, nil))
		if _, _, err := tryRead(c); err == nil {
			t.Fatal("a cut response was passed off as a whole one")
		}
		<-s.released
		h.mustLog(t, "nothing more can be made")
	}
}
