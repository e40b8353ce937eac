package server

import (
	"encoding/binary"
	"sync"

	"gregor/wire"
)

// Response is the body of a response: bytes appended to B, with ranges of files, or bytes that are made while it is sent, between them.
// The connection decides how each range is sent: sendfile on a plain TCP connection, read into memory elsewhere.
type Response struct {
	// B begins with the room for the length and the header; append the body to it.
	B     []byte
	files []fileSpan
	// fileBytes is the sum of the spans' lengths.
	fileBytes int
	// throttleAt is where in B throttle_time_ms lies; 0 when the response has none.
	throttleAt int
}

// fileSpan is sent after B[:at] and before B[at:]. It has a file or a source.
type fileSpan struct {
	at     int
	file   FileRange
	off    int64
	length int
	source Source
}

// Source makes bytes of a response piece by piece, so that they are never in memory together. A response's length stands before it, so
// how many there are is fixed before the first is made. It is used by one goroutine at a time.
type Source interface {
	// Next returns the next piece: at least one byte and at most left, as many as are still to be sent. It is valid until the next
	// call. An error closes the connection.
	Next(left int) ([]byte, error)
	// Release is called exactly once per Response.AddSource, sent or not.
	Release()
}

var responsePool = sync.Pool{New: func() any { return &Response{B: make([]byte, 0, 512)} }}

// maxPooledResponse bounds what a pooled response keeps: a metadata answer of 100,000 partitions must not stay.
const maxPooledResponse = 64 << 10

// NewResponse returns an empty response to r, with the header in place.
func (r *Request) NewResponse() *Response { return newResponse(r, r.Version) }

// NewResponseAs is NewResponse with the header of another version of the same type.
func (r *Request) NewResponseAs(version int16) *Response { return newResponse(r, version) }

func newResponse(r *Request, version int16) *Response {
	p := responsePool.Get().(*Response)
	p.B = append(p.B[:0], 0, 0, 0, 0)
	p.B = binary.BigEndian.AppendUint32(p.B, uint32(r.CorrelationID))
	if wire.ResponseHeaderVersion(r.Key, version) == 1 {
		p.B = append(p.B, 0)
	}
	return p
}

// AddFile puts a range of a file at the end of what was appended so far. The response now owns one reference to f.
func (p *Response) AddFile(f FileRange, off int64, length int) {
	p.files = append(p.files, fileSpan{at: len(p.B), file: f, off: off, length: length})
	p.fileBytes += length
}

// AddSource puts length bytes that s makes at the end of what was appended so far. The response now owns s.
func (p *Response) AddSource(s Source, length int) {
	p.files = append(p.files, fileSpan{at: len(p.B), source: s, length: length})
	p.fileBytes += length
}

// AppendThrottle appends throttle_time_ms as 0 and remembers the place for the completion point.
func (p *Response) AppendThrottle() {
	p.throttleAt = len(p.B)
	p.B = append(p.B, 0, 0, 0, 0)
}

// Size is what goes over the wire, length prefix included.
func (p *Response) Size() int { return len(p.B) + p.fileBytes }

func (p *Response) setThrottle(ms int32) {
	if p.throttleAt > 0 {
		binary.BigEndian.PutUint32(p.B[p.throttleAt:], uint32(ms))
	}
}

// seal writes the length prefix.
func (p *Response) seal() { binary.BigEndian.PutUint32(p.B, uint32(p.Size()-4)) }

// Discard releases a response that will not be sent.
func (p *Response) Discard() {
	for i := range p.files {
		f := &p.files[i]
		if f.source != nil {
			f.source.Release()
		} else {
			f.file.Release()
		}
		f.file, f.source = nil, nil
	}
	p.files, p.fileBytes, p.throttleAt = p.files[:0], 0, 0
	if cap(p.B) > maxPooledResponse {
		p.B = make([]byte, 0, 512)
	}
	if cap(p.files) > 1024 {
		p.files = nil
	}
	responsePool.Put(p)
}
