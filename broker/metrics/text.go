package metrics

import (
	"io"
	"strconv"
)

// text writes Prometheus's text format as it is told, a buffer at a time.
type text struct {
	w   io.Writer
	b   []byte
	err error
}

const flushAt = 32 << 10

// family begins a metric: all its series must follow at once.
func (t *text) family(name, kind, help string) {
	t.b = append(t.b, "# HELP "...)
	t.b = append(t.b, name...)
	t.b = append(t.b, ' ')
	t.b = append(t.b, help...)
	t.b = append(t.b, "\n# TYPE "...)
	t.b = append(t.b, name...)
	t.b = append(t.b, ' ')
	t.b = append(t.b, kind...)
	t.b = append(t.b, '\n')
}

func (t *text) plain(name string, v int64) {
	t.b = append(t.b, name...)
	t.value(v)
}

// topic writes a series of a topic. Names of topics need no escaping.
func (t *text) topic(name, topic string, v int64) {
	t.b = append(t.b, name...)
	t.b = append(t.b, `{topic="`...)
	t.b = append(t.b, topic...)
	t.b = append(t.b, `"}`...)
	t.value(v)
}

func (t *text) partition(name, topic string, partition int32, v int64) {
	t.b = append(t.b, name...)
	t.b = append(t.b, `{topic="`...)
	t.b = append(t.b, topic...)
	t.b = append(t.b, `",partition="`...)
	t.b = strconv.AppendInt(t.b, int64(partition), 10)
	t.b = append(t.b, `"}`...)
	t.value(v)
}

func (t *text) value(v int64) {
	t.b = append(t.b, ' ')
	t.b = strconv.AppendInt(t.b, v, 10)
	t.b = append(t.b, '\n')
	if len(t.b) >= flushAt {
		t.flush()
	}
}

func (t *text) flush() {
	if t.err == nil && len(t.b) > 0 {
		_, t.err = t.w.Write(t.b)
	}
	t.b = t.b[:0]
}
