package controller

import (
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gregor/controller/core"
	"gregor/internal/logging"
)

// maxStateLines is how many partitions of one batch of writes have a line each at INFO; at DEBUG all have.
const maxStateLines = 1000

// logChanges says which leaderships stand in ZooKeeper from now on.
func (t *term) logChanges(results []core.Result) {
	log := logging.Named(t.c.opt.Log, "state.change.logger")
	say, level := log.Infof, logrus.InfoLevel
	if len(results) > maxStateLines {
		say, level = log.Debugf, logrus.DebugLevel
	}
	if !logging.Enabled(log, level) {
		return
	}
	for i := range results {
		r := &results[i]
		w := &r.Write
		if r.Outcome != core.Done || w.Kind != core.CreateState && w.Kind != core.SetState {
			continue
		}
		from, to := "OnlinePartition", "OnlinePartition"
		if w.Kind == core.CreateState {
			from = "NewPartition"
		}
		if w.To.Leader < 0 {
			to = "OfflinePartition"
		}
		isr := make([]string, len(w.To.ISR))
		for i, id := range w.To.ISR {
			isr[i] = strconv.Itoa(int(id))
		}
		say("[Controller id=%d epoch=%d] Changed partition %v from %s to %s with state LeaderAndIsr(leader=%d, leaderEpoch=%d, isr=List(%s), zkVersion=%d)",
			t.c.opt.BrokerID, t.epoch.Epoch, w.TP, from, to, w.To.Leader, w.To.LeaderEpoch, strings.Join(isr, ", "), r.Version)
	}
}
