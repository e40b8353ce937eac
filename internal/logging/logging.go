// Package logging makes the process's log: logrus with Kafka's line layout, or JSON.
//
// Owns: the formatter, and the levels of the loggers by name, which may change at any time (Levels). Guarded by: Levels.mu; a lock around
// the output keeps lines whole. Imports: logrus only. Kafka's counterpart: config/log4j.properties with the pattern
// "[%d] %p %m (%c)%n", and kafka.utils.Log4jController.
package logging

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/sirupsen/logrus"
)

// NameField is the field that holds the logger's name, which Kafka's layout shows in parentheses at the end of a line.
const NameField = "logger"

// New returns a logger that writes to w. format is "kafka" or "json", level one of logrus's names.
func New(w io.Writer, format, level string) (*logrus.Logger, error) {
	lv, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: use trace, debug, info, warn or error", level)
	}
	l := logrus.New()
	l.SetOutput(w)
	l.SetLevel(lv)
	switch format {
	case "kafka", "":
		l.SetFormatter(KafkaFormatter{})
	case "json":
		l.SetFormatter(&logrus.JSONFormatter{TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
	default:
		return nil, fmt.Errorf("log format %q: use kafka or json", format)
	}
	withLevels(l)
	return l, nil
}

// Named returns log with the name under which its lines appear, and the level that this name has (see Levels).
func Named(log logrus.FieldLogger, name string) logrus.FieldLogger {
	levels := LevelsOf(log)
	if levels == nil {
		return log.WithField(NameField, name)
	}
	named := logrus.NewEntry(levels.logger(name))
	if e, ok := log.(*logrus.Entry); ok {
		named = named.WithFields(e.Data)
	}
	return named.WithField(NameField, name)
}

// KafkaFormatter writes Kafka's line layout. Fields other than the name and the error follow the message as key=value.
type KafkaFormatter struct{}

var levels = map[logrus.Level]string{
	logrus.PanicLevel: "FATAL", logrus.FatalLevel: "FATAL", logrus.ErrorLevel: "ERROR", logrus.WarnLevel: "WARN",
	logrus.InfoLevel: "INFO", logrus.DebugLevel: "DEBUG", logrus.TraceLevel: "TRACE",
}

// Format implements logrus.Formatter. A message never spans lines: what comes from the wire cannot forge one.
func (KafkaFormatter) Format(e *logrus.Entry) ([]byte, error) {
	b := e.Buffer
	if b == nil {
		b = &bytes.Buffer{}
	}
	b.WriteByte('[')
	b.WriteString(e.Time.Format("2006-01-02 15:04:05,000"))
	b.WriteString("] ")
	b.WriteString(levels[e.Level])
	b.WriteByte(' ')
	writeClean(b, e.Message)
	keys := make([]string, 0, len(e.Data))
	for k := range e.Data {
		if k != NameField && k != logrus.ErrorKey {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		writeClean(b, fmt.Sprintf(" %s=%v", k, e.Data[k]))
	}
	if err, ok := e.Data[logrus.ErrorKey]; ok {
		writeClean(b, fmt.Sprintf(": %v", err))
	}
	name, ok := e.Data[NameField].(string)
	if !ok {
		name = Server
	}
	b.WriteString(" (")
	b.WriteString(name)
	b.WriteString(")\n")
	return b.Bytes(), nil
}

func writeClean(b *bytes.Buffer, s string) {
	if !strings.ContainsFunc(s, isControl) {
		b.WriteString(s)
		return
	}
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
