package metrics

import (
	"context"

	"gregor/broker/handlers"
	"gregor/broker/server"
	"gregor/controller"
	"gregor/coordinator/group"
	"gregor/coordinator/group/fsm"
	"gregor/coordinator/txn"
	"gregor/internal/meter"
	"gregor/replication"
	"gregor/storage"
	"gregor/zkmeta"
)

// State is how far a broker is in its life, by Kafka's numbers (BrokerState).
type State uint8

// States of a broker.
const (
	NotRunning            State = 0
	Starting              State = 1
	RecoveringFromUnclean State = 2
	Running               State = 3
	PendingControlledStop State = 6
	ShuttingDown          State = 7
)

// Counts is everything that is counted while it happens. One is made per broker, and only when somebody wants to see it.
type Counts struct {
	Requests   *server.Metrics
	Topics     replication.Counters
	Waiting    handlers.Waiting
	Flushes    meter.Timer
	Controller controller.Metrics
	ZooKeeper  zkmeta.Metrics
}

// NewCounts makes the counters of a broker.
func NewCounts() *Counts { return &Counts{Requests: server.NewMetrics()} }

// Sources is what a scrape looks at. What a broker does not have yet is nil.
type Sources struct {
	State     State
	BrokerID  int32
	ClusterID string

	Counts     *Counts
	Server     *server.Server
	APIs       []server.API
	Sessions   *handlers.SessionCache
	Replicas   *replication.Manager
	Store      *storage.Manager
	Controller *controller.Controller
	// Transactions is the transaction coordinator.
	Transactions *txn.Coordinator
	ZooKeeper    *zkmeta.Client
	Groups       *group.Coordinator
	// Ends fills in how far consumers may read partitions that other brokers lead; what it does not learn stays as it is.
	Ends func(ctx context.Context, ends map[fsm.TP]int64)
	// ControllerKnown says whether this broker knows who the controller is.
	ControllerKnown func() bool
}
