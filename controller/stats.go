package controller

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"gregor/controller/core"
	"gregor/internal/meter"
	"gregor/zkmeta"
)

// Activity is what the loop is at, by Kafka's numbers (ControllerState).
type Activity uint8

// Activities that this controller has.
const (
	Idle                         Activity = 0
	ControllerChange             Activity = 1
	BrokerChange                 Activity = 2
	TopicChange                  Activity = 3
	TopicDeletion                Activity = 4
	ManualLeaderBalance          Activity = 7
	IsrChange                    Activity = 9
	LeaderAndIsrResponseReceived Activity = 10
	LogDirChange                 Activity = 11
	ControllerShutdown           Activity = 12
	TopicUncleanElectionEnable   Activity = 14
	activities                            = 18
)

// Metrics counts what a Controller does. The zero value is ready.
type Metrics struct {
	// Activities are timed by what they are.
	Activities [activities]meter.Timer
	// QueueTime is what events wait for the loop.
	QueueTime        meter.Timer
	UncleanElections atomic.Int64

	now atomic.Uint32 // the present Activity
}

// Now is what the loop is at.
func (m *Metrics) Now() Activity { return Activity(m.now.Load()) }

// begin notes what the loop is at until the function that it returns is called.
func (m *Metrics) begin(a Activity) func() {
	if m == nil || a == Idle {
		return func() {}
	}
	m.now.Store(uint32(a))
	begun := time.Now()
	return func() {
		m.now.Store(uint32(Idle))
		m.Activities[a].Since(begun)
	}
}

// activityOf says what an event has the loop do.
func activityOf(ev any) Activity {
	switch ev := ev.(type) {
	case zkmeta.Event:
		switch path := ev.Path; {
		case ev.Kind == zkmeta.Expired, ev.Kind == zkmeta.MaybeExpired:
			return ControllerChange
		case path == zkmeta.PathController:
			return ControllerChange
		case strings.HasPrefix(path, zkmeta.PathBrokerIDs):
			return BrokerChange
		case path == zkmeta.PathDeleteTopics:
			return TopicDeletion
		case path == zkmeta.PathIsrChangeNotification:
			return IsrChange
		case path == zkmeta.PathLogDirEventNotification:
			return LogDirChange
		case path == zkmeta.PathPreferredReplicaElect:
			return ManualLeaderBalance
		case strings.HasPrefix(path, zkmeta.PathTopics):
			return TopicChange
		}
	case coreEvent:
		switch ev.ev.(type) {
		case core.LeaderAndIsrAnswered:
			return LeaderAndIsrResponseReceived
		case core.StopReplicaAnswered:
			return TopicDeletion
		case core.UncleanChanged:
			return TopicUncleanElectionEnable
		}
	case fenced:
		return ControllerChange
	}
	return Idle
}

// Stats is what a Controller looks like at one moment; of one that is not the cluster's everything is zero but Queue.
type Stats struct {
	core.Tally
	// Queue is how many events wait.
	Queue int
	// Channels are the ways to brokers, by id.
	Channels map[int32]ChannelStats
}

// ChannelStats describes the way to one broker.
type ChannelStats struct {
	Queue     int
	QueueTime *meter.Timer
}

// ask has the loop describe itself.
type ask struct{ answer chan Stats }

// Stats asks the loop. One that does not answer before ctx ends is at work: what it said last is returned.
func (c *Controller) Stats(ctx context.Context) Stats {
	waiting := c.queue.len()
	if c.active.Load() == 0 {
		return Stats{Queue: waiting}
	}
	a := ask{make(chan Stats, 1)}
	c.queue.put(a)
	var s Stats
	select {
	case s = <-a.answer:
		c.lastStats.Store(&s)
	case <-ctx.Done():
		if last := c.lastStats.Load(); last != nil {
			s = *last
		}
	}
	s.Queue = waiting
	return s
}

func (c *Controller) describe() Stats {
	if c.term == nil {
		return Stats{}
	}
	s := Stats{Tally: c.term.core.Tally(), Channels: make(map[int32]ChannelStats, len(c.term.channels))}
	for id, ch := range c.term.channels {
		ch.mu.Lock()
		s.Channels[id] = ChannelStats{Queue: len(ch.mu.queue), QueueTime: ch.queueTime}
		ch.mu.Unlock()
	}
	return s
}
