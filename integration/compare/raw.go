package compare

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// quiet is how long a connection must say nothing to be taken for one that will not answer.
const quiet = 700 * time.Millisecond

// frame encodes a request with size and header; the correlation id is fixed, so that answers compare as bytes.
func frame(req kmsg.Request, corr int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("compare")).AppendRequest(nil, req, corr)
}

// sized puts a length before a request.
func sized(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// talk sends bytes on a connection of their own and returns what comes back, in hex, and whether the connection is closed after it.
// With half, the sending side is shut down after the bytes.
func (b *Broker) talk(sent []byte, answers int, half bool) any {
	c, err := net.Dial("tcp", b.Addr)
	if err != nil {
		return map[string]any{"dial": err.Error()}
	}
	defer c.Close()
	if _, err := c.Write(sent); err != nil {
		return map[string]any{"write": "failed"}
	}
	if half {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return map[string]any{"half-close": err.Error()}
		}
	}
	got := []any{}
	for {
		limit := quiet
		if len(got) < answers {
			limit = answerTimeout
		}
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return err.Error()
		}
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			end := "closed"
			if errors.Is(err, os.ErrDeadlineExceeded) {
				end = "open"
			}
			return map[string]any{"answers": got, "connection": end}
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return map[string]any{"answers": got, "connection": "cut"}
		}
		got = append(got, hex.EncodeToString(body))
		if len(got) == answers && !half {
			// A closed connection shows at once, an open one by an answer to one more request.
			ping := kmsg.NewPtrApiVersionsRequest()
			if _, err := c.Write(frame(ping, 4711)); err != nil {
				return map[string]any{"answers": got, "connection": "closed"}
			}
			if err := c.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
				return err.Error()
			}
			end := "open"
			if _, err := io.ReadFull(c, size[:]); err != nil {
				end = "closed"
			}
			return map[string]any{"answers": got, "connection": end}
		}
	}
}

// tell sends requests that are not answered, then ApiVersions on the same connection, and says whether that was answered.
func (b *Broker) tell(reqs ...kmsg.Request) any {
	var sent []byte
	for i, r := range reqs {
		sent = append(sent, frame(r, int32(i))...)
	}
	probe := kmsg.NewPtrApiVersionsRequest()
	c, err := net.Dial("tcp", b.Addr)
	if err != nil {
		return map[string]any{"dial": err.Error()}
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err.Error()
	}
	if _, err := c.Write(append(sent, frame(probe, 99)...)); err != nil {
		return map[string]any{"connection": "closed"}
	}
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return map[string]any{"connection": "closed"}
	}
	return map[string]any{"connection": "open", "next answer": binary.BigEndian.Uint32(head[4:])}
}

// tree is an answer ready for comparison, for cases of several requests.
func (b *Broker) tree(req kmsg.Request, mask ...string) any {
	m := make(map[string]bool)
	for _, k := range mask {
		m[k] = true
	}
	resp, err := b.Ask(req)
	return answer(resp, err, m)
}
