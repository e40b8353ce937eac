// Package events writes the events of Kafka's verifiable clients: one JSON object a line, a time and a name first.
//
// Owns: the form of the lines. Guarded by: a lock, so that lines of several goroutines stay whole.
// Invariants: fields come in the order in which they are given; a line is out before Print returns.
// Imports: internal/jvm for Jackson's quoting.
// Kafka counterpart: the event classes in org.apache.kafka.tools.VerifiableProducer and VerifiableConsumer.
package events

import (
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"gregor/internal/jvm"
	"gregor/tools/internal/javatext"
)

// Writer prints events.
type Writer struct {
	W  io.Writer
	mu sync.Mutex
}

// Field is a name and a value: a string, []byte (text, or null when nil), int, int32, int64, float64, bool or Raw.
type Field struct {
	Name  string
	Value any
}

// Raw is JSON already.
type Raw string

// Print writes one event.
func (w *Writer) Print(name string, fields ...Field) {
	b := strconv.AppendInt([]byte(`{"timestamp":`), time.Now().UnixMilli(), 10)
	b = append(b, `,"name":`...)
	b = jvm.AppendJSON(b, name)
	for _, f := range fields {
		b = appendField(append(b, ','), f)
	}
	b = append(b, "}\n"...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.W.Write(b) //nolint:errcheck // nobody is left to tell
}

// Object is a JSON object.
func Object(fields ...Field) Raw {
	b := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, f)
	}
	return Raw(append(b, '}'))
}

// Array is a JSON array.
func Array(items []Raw) Raw {
	words := make([]string, len(items))
	for i, v := range items {
		words[i] = string(v)
	}
	return Raw("[" + strings.Join(words, ",") + "]")
}

func appendField(b []byte, f Field) []byte {
	b = append(jvm.AppendJSON(b, f.Name), ':')
	switch v := f.Value.(type) {
	case string:
		return jvm.AppendJSON(b, v)
	case []byte:
		if v == nil {
			return append(b, "null"...)
		}
		return jvm.AppendJSON(b, string(javatext.Append(nil, v)))
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int32:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if v == math.Trunc(v) {
			s += ".0"
		}
		return append(b, s...)
	case bool:
		return strconv.AppendBool(b, v)
	case Raw:
		return append(b, v...)
	}
	return append(b, "null"...)
}
