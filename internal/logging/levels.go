package logging

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// Root is the name of the logger from which all others inherit, and Server that of the broker's own lines.
const (
	Root   = "root"
	Server = "kafka.server.KafkaServer"
)

// kafkaNames are the loggers of a broker of Apache Kafka 2.7 for which there is a counterpart here, or that its operators know from
// config/log4j.properties. They exist from the start; others do as soon as a part of the program asks for them.
var kafkaNames = []string{
	"kafka", "kafka.authorizer.logger", "kafka.controller", "kafka.controller.ControllerEventManager$ControllerEventThread",
	"kafka.controller.KafkaController", "kafka.coordinator.group.GroupCoordinator", "kafka.coordinator.transaction.ProducerIdManager",
	"kafka.coordinator.transaction.TransactionCoordinator", "kafka.log.LogCleaner", "kafka.log.LogConfig", "kafka.log.LogManager",
	"kafka.network.Acceptor", "kafka.network.ConnectionQuotas", "kafka.network.Processor", "kafka.network.RequestChannel",
	"kafka.network.RequestChannel$", "kafka.network.SocketServer", "kafka.request.logger", "kafka.server.KafkaApis", "kafka.server.KafkaConfig",
	"kafka.server.KafkaRequestHandler", "kafka.server.KafkaServer", "kafka.server.ReplicaManager", "kafka.server.TopicConfigHandler",
	"kafka.zk.KafkaZkClient", "kafka.zookeeper.ZooKeeperClient", "org.apache.kafka", "org.apache.kafka.clients.NetworkClient",
	"org.apache.zookeeper", "state.change.logger",
}

// quiet are the loggers that say something of every request, and are off unless somebody asks.
var quiet = []string{"kafka.request.logger", "kafka.network.RequestChannel$"}

// Levels are the levels of a process's loggers, by name. A logger without a level of its own has that of the nearest name before a dot
// that has one, in the end that of root, as in log4j. The methods may be called from any goroutine, and on a nil Levels, which has root alone.
type Levels struct {
	base *logrus.Logger

	mu      sync.Mutex // guards what follows
	root    logrus.Level
	loggers map[string]*named
}

type named struct {
	log   *logrus.Logger // nil until a part of the program logs under this name
	level *logrus.Level  // its own
}

// leveled is the formatter of loggers that belong to Levels: it is how they are found again.
type leveled struct {
	logrus.Formatter
	levels *Levels
}

// lockedWriter keeps lines of loggers that share an output whole.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

// withLevels makes base, whose lines are the server's own, the first logger of new Levels.
func withLevels(base *logrus.Logger) {
	l := &Levels{base: base, root: base.GetLevel(), loggers: make(map[string]*named)}
	base.SetOutput(&lockedWriter{w: base.Out})
	base.SetFormatter(leveled{base.Formatter, l})
	for _, n := range kafkaNames {
		l.loggers[n] = &named{}
	}
	warn := logrus.WarnLevel
	for _, n := range quiet {
		l.loggers[n].level = &warn
	}
	l.loggers[Server].log = base
}

// LevelsOf finds the levels that a logger made by New, or one named after it, belongs to; nil when it was made otherwise.
func LevelsOf(log logrus.FieldLogger) *Levels {
	var base *logrus.Logger
	switch l := log.(type) {
	case *logrus.Logger:
		base = l
	case *logrus.Entry:
		base = l.Logger
	}
	if base != nil {
		if f, ok := base.Formatter.(leveled); ok {
			return f.levels
		}
	}
	return nil
}

// Enabled tells whether log writes lines of a level: ask before making an expensive one.
func Enabled(log logrus.FieldLogger, level logrus.Level) bool {
	switch l := log.(type) {
	case *logrus.Logger:
		return l.IsLevelEnabled(level)
	case *logrus.Entry:
		return l.Logger.IsLevelEnabled(level)
	}
	return true
}

func (l *Levels) logger(name string) *logrus.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.loggers[name]
	if n == nil {
		n = &named{}
		l.loggers[name] = n
	}
	if n.log == nil {
		n.log = &logrus.Logger{Out: l.base.Out, Formatter: l.base.Formatter, Hooks: l.base.Hooks, ExitFunc: l.base.ExitFunc, Level: l.effective(name)}
	}
	return n.log
}

func (l *Levels) effective(name string) logrus.Level {
	for {
		if n := l.loggers[name]; n != nil && n.level != nil {
			return *n.level
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return l.root
		}
		name = name[:dot]
	}
}

// apply brings the loggers to the levels that hold.
func (l *Levels) apply() {
	for name, n := range l.loggers {
		if n.log != nil {
			n.log.SetLevel(l.effective(name))
		}
	}
}

// All lists the loggers there are and their levels, as Kafka does: one without a level of its own is shown with root's.
func (l *Levels) All() map[string]string {
	if l == nil {
		return map[string]string{Root: levels[logrus.InfoLevel]}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{Root: levels[l.root]}
	for name, n := range l.loggers {
		level := l.root
		if n.level != nil {
			level = *n.level
		}
		out[name] = levels[level]
	}
	return out
}

// Exists tells whether there is a logger of that name.
func (l *Levels) Exists(name string) bool {
	if name == Root {
		return true
	}
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loggers[name] != nil
}

// ErrFixed is a change of levels on a log that was not made by New.
var ErrFixed = errors.New("the log of this process was made by its own program, which sets its level")

// Set gives a logger a level: FATAL, ERROR, WARN, INFO, DEBUG or TRACE.
func (l *Levels) Set(name, level string) error {
	for lv, text := range levels {
		if text == level && lv != logrus.PanicLevel {
			return l.change(name, &lv)
		}
	}
	return fmt.Errorf("log level %q: use FATAL, ERROR, WARN, INFO, DEBUG or TRACE", level)
}

// Unset takes a logger's own level away, so that it has what it inherits; root keeps its own.
func (l *Levels) Unset(name string) error {
	if name == Root {
		return errors.New("the root logger needs a level")
	}
	return l.change(name, nil)
}

func (l *Levels) change(name string, level *logrus.Level) error {
	if l == nil {
		return ErrFixed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == Root {
		l.root = *level
	} else {
		n := l.loggers[name]
		if n == nil {
			return fmt.Errorf("there is no logger %q", name)
		}
		n.level = level
	}
	l.apply()
	return nil
}
