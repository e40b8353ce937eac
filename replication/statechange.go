package replication

import (
	"time"

	"github.com/sirupsen/logrus"

	"gregor/internal/logging"
)

// StateChangeLogger is the name under which roles of partitions are logged, as in Kafka.
const StateChangeLogger = "state.change.logger"

// maxStateLines is how many partitions of one request have a line each: a restart with 100,000 partitions is one event. At DEBUG all have.
const maxStateLines = 1000

// logRoles says what a request of the controller's made of this broker.
func (m *Manager) logRoles(req *LeaderAndIsr, leaders, followers []*Partition, took time.Duration) {
	if len(leaders)+len(followers) == 0 {
		return
	}
	log := logging.Named(m.opt.Log, StateChangeLogger)
	level := logrus.InfoLevel
	if len(leaders)+len(followers) > maxStateLines {
		level = logrus.DebugLevel
	}
	if logging.Enabled(log, level) {
		for _, p := range leaders {
			p.mu.RLock()
			st, start, hw := p.mu.State, p.mu.epochStart, int64(0)
			if p.mu.log != nil {
				hw = p.mu.log.HighWatermark()
			}
			p.mu.RUnlock()
			logAt(log, level, "[Broker id=%d] Leader %v starts at leader epoch %d from offset %d with high watermark %d ISR [%s] addingReplicas [%s] removingReplicas [%s].",
				m.opt.BrokerID, p.tp, st.LeaderEpoch, start, hw, commas(st.ISR), commas(st.AddingReplicas), commas(st.RemovingReplicas))
		}
		for _, p := range followers {
			p.mu.RLock()
			st, end, hw := p.mu.State, int64(0), int64(0)
			if p.mu.log != nil {
				end, hw = p.mu.log.LogEndOffset(), p.mu.log.HighWatermark()
			}
			p.mu.RUnlock()
			logAt(log, level, "[Broker id=%d] Follower %v starts at leader epoch %d from offset %d with high watermark %d.", m.opt.BrokerID, p.tp, st.LeaderEpoch, end, hw)
		}
	}
	log.Infof("[Broker id=%d] Finished LeaderAndIsr request in %dms from controller %d epoch %d for %d partitions: leads %d, follows %d of them from now on",
		m.opt.BrokerID, took.Milliseconds(), req.ControllerID, req.ControllerEpoch, len(req.Partitions), len(leaders), len(followers))
}

func logAt(log logrus.FieldLogger, level logrus.Level, format string, args ...any) {
	if level == logrus.DebugLevel {
		log.Debugf(format, args...)
		return
	}
	log.Infof(format, args...)
}
