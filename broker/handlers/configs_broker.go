package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/internal/logging"
	"gregor/zkmeta"
)

// alterBroker changes the settings of this broker or, without a name, of all brokers. What is written is what every broker then hears of
// through ZooKeeper; the answer does not wait for that.
func (a *Admin) alterBroker(ctx context.Context, c change, validateOnly bool) *fault {
	cfg, perBroker, entity := a.Config(), c.name != "", zkmeta.DefaultEntity
	if perBroker {
		if f := a.ownBroker(c.name, ","); f != nil {
			return f
		}
		entity = strconv.Itoa(int(cfg.ID))
	}
	var old map[string]string
	if c.incremental {
		persistent, err := a.ZK.EntityConfig(ctx, zkmeta.EntityBrokers, entity)
		if err != nil {
			return a.unexpected("reading the settings of brokers", entity, err)
		}
		old, _ = cfg.FromPersistent(persistent, perBroker)
	}
	settings, f := c.settings(old)
	if f != nil {
		return f
	}
	if err := cfg.CheckUpdate(settings, perBroker); err != nil {
		return failure(kerr.InvalidRequest, invalidFor(c, answerOf(err)))
	}
	if validateOnly {
		return nil
	}
	persistent, err := cfg.ToPersistent(settings, perBroker)
	if err != nil {
		return failure(kerr.InvalidRequest, invalidFor(c, answerOf(err)))
	}
	a.Log.Infof("Updating brokers/%s with new configuration %v", entity, slices.Sorted(maps.Keys(settings)))
	if err := a.ZK.SetEntityConfig(ctx, zkmeta.EntityBrokers, entity, persistent); err != nil {
		return a.unexpected("writing the settings of brokers", entity, err)
	}
	return nil
}

func answerOf(err error) string {
	var ce *config.Error
	if errors.As(err, &ce) {
		return ce.Answer()
	}
	return err.Error()
}

func (a *Admin) describeLoggers() []config.Entry {
	all := a.Levels.All()
	out := make([]config.Entry, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		level := all[name]
		out = append(out, config.Entry{Name: name, Value: &level, Source: config.SourceLogger})
	}
	return out
}

// logLevels are the levels that Kafka takes, in the order in which its message lists them.
var logLevels = []string{"TRACE", "ERROR", "INFO", "FATAL", "DEBUG", "WARN"}

// alterLoggers changes levels of this broker's loggers, for as long as the process lives. All operations are checked before the first.
func (a *Admin) alterLoggers(c change, validateOnly bool) *fault {
	if c.name != "" {
		if f := a.ownBroker(c.name, ","); f != nil {
			return f
		}
	}
	for _, op := range c.operations {
		if f := a.checkLogger(c, op); f != nil {
			return f
		}
	}
	if validateOnly {
		return nil
	}
	for _, op := range c.operations {
		var err error
		if op.Op == kmsg.IncrementalAlterConfigOpSet {
			err = a.Levels.Set(op.Name, *op.Value)
		} else {
			err = a.Levels.Unset(op.Name)
		}
		if errors.Is(err, logging.ErrFixed) {
			return failure(kerr.InvalidRequest, invalidFor(c, err.Error()))
		}
		if err != nil {
			return a.unexpected("changing the level of logger", op.Name, err)
		}
	}
	return nil
}

func (a *Admin) checkLogger(c change, op kmsg.IncrementalAlterConfigsRequestResourceConfig) *fault {
	switch op.Op {
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
		return failure(kerr.InvalidRequest, opNames[op.Op]+" operation is not allowed for the BROKER_LOGGER resource")
	case kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete:
	}
	if !a.Levels.Exists(op.Name) {
		return failure(kerr.InvalidRequest, invalidFor(c, "Logger "+op.Name+" does not exist!"))
	}
	if op.Op == kmsg.IncrementalAlterConfigOpDelete {
		if op.Name == logging.Root {
			return failure(kerr.InvalidRequest, "Removing the log level of the root logger is not allowed")
		}
		return nil
	}
	if !slices.Contains(logLevels, *op.Value) {
		return failure(kerr.InvalidRequest, invalidFor(c, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. "+
			"Valid log levels are %s", op.Name, *op.Value, strings.Join(logLevels, ", "))))
	}
	return nil
}
