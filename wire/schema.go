package wire

import (
	"fmt"
)

type kind uint8

const (
	kind1 kind = iota
	kind2
	kind4
	kind8
	kindString
	kindBytes
	kindStruct
)

// field is one field of a request: the versions that have it, the versions where it may be null, and its shape.
type field struct {
	name             string
	min, max         int16
	nullMin, nullMax int16
	tag              uint32
	tagged           bool
	array            bool
	kind             kind
	fields           []field
}

func (f *field) in(v int16) bool       { return v >= f.min && v <= f.max }
func (f *field) nullable(v int16) bool { return v >= f.nullMin && v <= f.nullMax }

// schema is the shape of one request type; flexible is its first version with compact lengths and tagged fields.
type schema struct {
	name     string
	min, max int16
	flexible int16
	fields   []field
}

// APIName is Kafka's name of a request type, or "" when it is not known here.
func APIName(key int16) string {
	if key == 2 {
		return "ListOffsets" // the schema has it without the s
	}
	s, _ := lookup(key)
	return s.name
}

// Versions returns the versions of a request type that Apache Kafka 2.7 serves.
func Versions(key int16) (lo, hi int16, ok bool) {
	s, ok := schemas[key]
	return s.min, s.max, ok
}

// Flexible says whether a request's body has compact lengths and tagged fields.
func Flexible(key, version int16) bool {
	s, ok := lookup(key)
	return ok && version >= s.flexible
}

// RequestHeaderVersion is the version of the header in front of a request: 0 for ControlledShutdown v0, 2 for flexible ones.
func RequestHeaderVersion(key, version int16) int {
	switch {
	case key == keyControlledShutdown && version == 0:
		return 0
	case Flexible(key, version):
		return 2
	}
	return 1
}

// ResponseHeaderVersion is the version of the header in front of a response. ApiVersions always has 0, so that a client that asked
// with a version this broker does not know can read the answer.
func ResponseHeaderVersion(key, version int16) int {
	if key != keyAPIVersions && Flexible(key, version) {
		return 1
	}
	return 0
}

const (
	keyControlledShutdown = 7
	keyAPIVersions        = 18
)

// Check walks a request's body along its type's shape: every count must be followed by that many elements, every length by that
// many bytes. What kmsg allocates afterwards is thus proportional to bytes that were sent. Trailing bytes are ignored, as Apache
// Kafka does.
func Check(key, version int16, body []byte) error {
	s, ok := lookup(key)
	if !ok || version < s.min || version > s.max {
		return fmt.Errorf("%w: request type %d version %d is not known", ErrMalformed, key, version)
	}
	c := checker{r: NewReader(body), version: version, compact: version >= s.flexible}
	c.fields(s.fields)
	if c.r.err != nil && c.where != "" {
		return fmt.Errorf("%s version %d: %w in field %s", s.name, version, c.r.err, c.where)
	}
	return c.r.err
}

type checker struct {
	r       Reader
	version int16
	compact bool
	where   string
}

func (c *checker) fields(fs []field) {
	for i := range fs {
		f := &fs[i]
		if f.tagged || !f.in(c.version) {
			continue
		}
		c.field(f)
		if c.r.err != nil {
			if c.where == "" {
				c.where = f.name
			}
			return
		}
	}
	if c.compact {
		c.tags(fs)
	}
}

func (c *checker) field(f *field) {
	if !f.array {
		c.value(f)
		return
	}
	n := c.r.ArrayLen(c.compact, minSize(f, c.version, c.compact))
	if n == -1 && !f.nullable(c.version) {
		c.r.fail("null array")
	}
	for ; n > 0 && c.r.err == nil; n-- {
		c.value(f)
	}
}

func (c *checker) value(f *field) {
	switch f.kind {
	case kind1:
		c.r.take(1)
	case kind2:
		c.r.take(2)
	case kind4:
		c.r.take(4)
	case kind8:
		c.r.take(8)
	case kindString:
		if p := c.r.NullableString(c.compact); p == nil && !f.nullable(c.version) {
			c.r.fail("null string")
		}
	case kindBytes:
		if p := c.r.Bytes(c.compact); p == nil && !f.nullable(c.version) {
			c.r.fail("null bytes")
		}
	case kindStruct:
		c.fields(f.fields)
	}
}

// tags checks the tagged fields of one structure, those this version knows and the others.
func (c *checker) tags(fs []field) {
	for n := c.r.Uvarint(); n > 0 && c.r.err == nil; n-- {
		tag, size := c.r.Uvarint(), int64(c.r.Uvarint())
		if size > int64(c.r.Rest()) {
			c.r.fail("tagged field cut short")
			return
		}
		rest := c.r
		rest.n += int(size)
		for i := range fs {
			if f := &fs[i]; f.tagged && f.tag == tag && f.in(c.version) {
				c.r.b = c.r.b[:rest.n]
				c.field(f)
			}
		}
		if c.r.err == nil {
			c.r = rest
		}
	}
}

// minSize is the least number of bytes an element of an array takes: never 0, so that a count is always bounded.
func minSize(f *field, version int16, compact bool) int {
	n := 0
	switch f.kind {
	case kind1:
		n = 1
	case kind2:
		n = 2
	case kind4:
		n = 4
	case kind8:
		n = 8
	case kindString:
		n = lengthSize(compact, 2)
	case kindBytes:
		n = lengthSize(compact, 4)
	case kindStruct:
		for i := range f.fields {
			e := &f.fields[i]
			switch {
			case e.tagged || !e.in(version):
			case e.array:
				n += lengthSize(compact, 4)
			default:
				n += minSize(e, version, compact)
			}
		}
		if compact {
			n++
		}
	}
	return max(n, 1)
}

func lengthSize(compact bool, n int) int {
	if compact {
		return 1
	}
	return n
}
