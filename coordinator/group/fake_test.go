package group

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/coordinator/group/fsm"
	"gregor/coordinator/led"
	"gregor/coordinator/led/ledtest"
)

// held is a log that commits nothing until it is released.
func held() *ledtest.Log {
	l := new(ledtest.Log)
	l.Hold()
	return l
}

var errNotLeader = errors.New("not the leader")

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func testOptions() Options {
	return Options{
		Groups:     fsm.Config{MinSession: 10, MaxSession: 1 << 30, InitialDelay: 3000, MaxSize: 1 << 30, MaxMetadata: 4096, Retention: 7 * 24 * 3600 * 1000},
		Partitions: func() int32 { return 1 }, OffsetValue: 3, GroupValue: 3, Acks: -1, CommitTimeout: 5 * time.Second, LoadBuffer: 5 << 20,
		CheckInterval: 10 * time.Minute, Log: quiet(),
		ErrorCode: func(err error) int16 {
			if errors.Is(err, errNotLeader) {
				return kerr.NotLeaderForPartition.Code
			}
			return kerr.UnknownServerError.Code
		},
	}
}

// lead starts a coordinator on the log, and returns it when it has loaded.
func lead(t testing.TB, opt Options, log led.Log) *Coordinator {
	c := New(opt)
	c.Lead(0, log)
	c.shards.Wait()
	t.Cleanup(c.Close)
	return c
}
