package wire

import "fmt"

// Header is what every request begins with, after its length. ClientID aliases the request's bytes; nil is null.
type Header struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      []byte
}

// ParseHeader reads a request's header and returns the body behind it. A type that Apache Kafka 2.7 does not know is an error, a
// version it does not know is not: the caller decides.
func ParseHeader(b []byte) (h Header, body []byte, err error) {
	r := NewReader(b)
	h.Key, h.Version = r.Int16(), r.Int16()
	if r.err == nil && APIName(h.Key) == "" {
		return h, nil, fmt.Errorf("%w: unknown request type %d", ErrMalformed, h.Key)
	}
	h.CorrelationID = r.Int32()
	if hv := RequestHeaderVersion(h.Key, h.Version); hv >= 1 {
		// The client id is never compact, so that any version's header can be read this far.
		h.ClientID = r.NullableString(false)
		if hv >= 2 {
			r.Tags()
		}
	}
	if r.err != nil {
		return h, nil, fmt.Errorf("request header: %w", r.err)
	}
	return h, b[r.n:], nil
}
