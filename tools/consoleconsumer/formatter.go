package consoleconsumer

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

const defaultFormatter = "kafka.tools.DefaultMessageFormatter"

// formatter prints one record. Its error is about the record, never about the output, whose errors the writer keeps.
type formatter interface {
	write(out *bufio.Writer, r *kgo.Record) error
}

func newFormatter(class string, args map[string]string) (formatter, error) {
	switch class {
	case defaultFormatter:
		return newDefaultFormatter(args)
	case "kafka.tools.LoggingMessageFormatter":
		// Apache's logs each record as well, at a level that its tools do not show.
		return newDefaultFormatter(args)
	case "kafka.tools.NoOpMessageFormatter":
		return noFormatter{}, nil
	case "kafka.tools.ChecksumMessageFormatter":
		return &checksumFormatter{prefix: prefix(args)}, nil
	}
	if f := internalFormatter(class); f != nil {
		return f, nil
	}
	return nil, &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: class}
}

// plainFormatter is DefaultMessageFormatter.
type plainFormatter struct {
	timestamp, key, value, partition, offset, headers bool
	keySep, lineSep, headerSep, null                  []byte
	keyDe, valueDe, headersDe                         deserializer
	scratch                                           []byte
}

func newDefaultFormatter(args map[string]string) (formatter, error) {
	f := &plainFormatter{value: true, keySep: []byte("\t"), lineSep: []byte("\n"), headerSep: []byte(","), null: []byte("null")}
	for key, b := range map[string]*bool{"print.timestamp": &f.timestamp, "print.key": &f.key, "print.value": &f.value,
		"print.partition": &f.partition, "print.offset": &f.offset, "print.headers": &f.headers} {
		if v, ok := args[key]; ok {
			*b = strings.EqualFold(strings.TrimSpace(v), "true")
		}
	}
	for key, b := range map[string]*[]byte{"key.separator": &f.keySep, "line.separator": &f.lineSep,
		"headers.separator": &f.headerSep, "null.literal": &f.null} {
		if v, ok := args[key]; ok {
			*b = []byte(v)
		}
	}
	for key, d := range map[string]*deserializer{"key.deserializer": &f.keyDe, "value.deserializer": &f.valueDe, "headers.deserializer": &f.headersDe} {
		if v, ok := args[key]; ok {
			var err error
			if *d, err = newDeserializer(v); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

//nolint:errcheck // a bufio.Writer keeps its first error, and the caller looks at it
func (f *plainFormatter) write(out *bufio.Writer, r *kgo.Record) error {
	sep := func(more bool) {
		if more {
			out.Write(f.keySep)
		} else {
			out.Write(f.lineSep)
		}
	}
	if f.timestamp {
		switch r.Attrs.TimestampType() {
		case 0:
			out.WriteString("CreateTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
		case 1:
			out.WriteString("LogAppendTime:" + strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
		default:
			out.WriteString("NO_TIMESTAMP")
		}
		sep(f.offset || f.partition || f.headers || f.key || f.value)
	}
	if f.partition {
		out.WriteString("Partition:" + strconv.Itoa(int(r.Partition)))
		sep(f.offset || f.headers || f.key || f.value)
	}
	if f.offset {
		out.WriteString("Offset:" + strconv.FormatInt(r.Offset, 10))
		sep(f.headers || f.key || f.value)
	}
	if f.headers {
		if len(r.Headers) == 0 {
			out.WriteString("NO_HEADERS")
		}
		for i, h := range r.Headers {
			if i > 0 {
				out.Write(f.headerSep)
			}
			out.WriteString(h.Key + ":")
			if err := f.bytes(out, f.headersDe, h.Value); err != nil {
				return err
			}
		}
		sep(f.key || f.value)
	}
	if f.key {
		if err := f.bytes(out, f.keyDe, r.Key); err != nil {
			return err
		}
		sep(f.value)
	}
	if f.value {
		if err := f.bytes(out, f.valueDe, r.Value); err != nil {
			return err
		}
		out.Write(f.lineSep)
	}
	return nil
}

func (f *plainFormatter) bytes(out *bufio.Writer, d deserializer, b []byte) error {
	if b == nil {
		b = f.null
	}
	if d != nil {
		var err error
		if f.scratch, err = d(f.scratch[:0], b); err != nil {
			return err
		}
		b = f.scratch
	}
	out.Write(b) //nolint:errcheck // see write
	return nil
}

type noFormatter struct{}

func (noFormatter) write(*bufio.Writer, *kgo.Record) error { return nil }

// checksumFormatter prints the checksum of a record, which since message format v2 is 0.
type checksumFormatter struct{ prefix string }

func prefix(args map[string]string) string {
	if t, ok := args["topic"]; ok {
		return t + ":"
	}
	return ""
}

func (f *checksumFormatter) write(out *bufio.Writer, _ *kgo.Record) error {
	out.WriteString(f.prefix + "checksum:0\n") //nolint:errcheck // see plainFormatter.write
	return nil
}

func logError(w io.Writer, message string, err error) {
	cli.Log(w, "ERROR", "kafka.tools.ConsoleConsumer$", message)
	kclient.PrintTrace(w, err)
}
