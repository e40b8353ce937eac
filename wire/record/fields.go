package record

import "fmt"

// fields are the parts of one record; positions are relative to the record's body (behind its length).
type fields struct {
	tsDelta     int64
	offsetDelta int32
	keyLen      int32 // negative: null
	keyPos      int
	valueLen    int32 // negative: null
	valuePos    int
	headers     int32
	headersPos  int // of the first header
}

// parse decodes a record's body, which must be used up exactly. Its attributes have no meaning yet.
func (f *fields) parse(rec []byte) error {
	if len(rec) == 0 {
		return errRecordShort
	}
	p := 1
	if f.tsDelta, p = readVarlong(rec, p); p < 0 {
		return structureError(p)
	}
	if f.offsetDelta, p = readVarint(rec, p); p < 0 {
		return structureError(p)
	}
	if f.keyLen, f.keyPos, p = field(rec, p); p < 0 {
		return structureError(p)
	}
	if f.valueLen, f.valuePos, p = field(rec, p); p < 0 {
		return structureError(p)
	}
	if f.headers, p = readVarint(rec, p); p < 0 {
		return structureError(p)
	}
	if f.headers < 0 {
		return fmt.Errorf("Found invalid number of record headers %d", f.headers)
	}
	f.headersPos = p
	for range f.headers {
		var n int32
		if n, _, p = field(rec, p); p < 0 {
			return structureError(p)
		}
		if n < 0 {
			return fmt.Errorf("Invalid negative header key size %d", n)
		}
		if _, _, p = field(rec, p); p < 0 {
			return structureError(p)
		}
	}
	if p != len(rec) {
		return fmt.Errorf("Invalid record size: expected to read %d bytes in record payload, but instead read %d", len(rec), p)
	}
	return nil
}

// field reads a length and steps over that many bytes; a negative length is a null and has none.
func field(b []byte, p int) (n int32, pos, next int) {
	n, p = readVarint(b, p)
	if p < 0 {
		return n, 0, p
	}
	if n > 0 {
		if int(n) > len(b)-p {
			return n, 0, shortVarint
		}
		return n, p, p + int(n)
	}
	return n, p, p
}

var errRecordShort = fmt.Errorf("Found invalid record structure: record ends early")

func structureError(p int) error {
	return fmt.Errorf("Found invalid record structure: %w", varintError(p))
}

// key and value are the record's; nil for null, never nil for empty.
func (f *fields) key(rec []byte) []byte   { return span(rec, f.keyPos, f.keyLen) }
func (f *fields) value(rec []byte) []byte { return span(rec, f.valuePos, f.valueLen) }

func span(rec []byte, pos int, n int32) []byte {
	if n < 0 {
		return nil
	}
	return rec[pos : pos+int(n) : pos+int(n)]
}
