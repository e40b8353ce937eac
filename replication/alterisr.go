package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/storage"
	"gregor/wire/peer"
)

// alterRetry is the pause before a request that the controller could not serve is sent again (50 ms in Kafka 2.7).
const alterRetry = 50 * time.Millisecond

// AlterISROptions configures an AlterISR.
type AlterISROptions struct {
	BrokerID int32
	// BrokerEpoch is the czxid of this broker's registration.
	BrokerEpoch func() int64
	// Controller is where the controller is reached; false while none is known.
	Controller func() (addr string, ok bool)
	Dial       peer.DialFunc
	Timeout    time.Duration
	// Read reads what stands in ZooKeeper about partitions whose change was refused because of its version.
	Read func(ctx context.Context, tp storage.TopicPartition) (ISRAnswer, error)
	Log  logrus.FieldLogger
}

// AlterISR asks the controller to change in-sync replicas (KIP-497). Requests are batched: one is under way, what comes meanwhile is in the
// next. It is safe for concurrent use.
type AlterISR struct {
	opt  AlterISROptions
	wake chan struct{}

	mu    sync.Mutex
	queue []proposal
	conn  *peer.Conn
	addr  string
}

type proposal struct {
	ISRChange
	done func(ISRAnswer)
}

// NewAlterISR makes one; Run works it off.
func NewAlterISR(opt AlterISROptions) *AlterISR {
	opt.Timeout = orDefault(opt.Timeout, 30*time.Second)
	return &AlterISR{opt: opt, wake: make(chan struct{}, 1)}
}

// Propose puts a change into the next request.
func (a *AlterISR) Propose(c ISRChange, done func(ISRAnswer)) {
	a.mu.Lock()
	a.queue = append(a.queue, proposal{c, done})
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run sends requests until ctx ends.
func (a *AlterISR) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, a.hangUp)
	defer stop()
	defer a.hangUp()
	for said := false; ; {
		batch := a.take()
		if len(batch) == 0 {
			said = false
			select {
			case <-a.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		left, err := a.send(ctx, batch)
		if ctx.Err() != nil {
			return
		}
		if len(left) == 0 {
			continue
		}
		if err != nil && !said {
			said = true
			a.opt.Log.Infof("AlterIsr of %d partitions is sent again: %v", len(left), err)
		}
		a.mu.Lock()
		a.queue = append(left, a.queue...)
		a.mu.Unlock()
		pause := time.NewTimer(alterRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// take empties the queue. Of several wishes for one partition only the last counts: the others are of leaderships that are over.
func (a *AlterISR) take() []proposal {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := make([]proposal, 0, len(a.queue))
	at := map[storage.TopicPartition]int{}
	for _, p := range a.queue {
		if i, ok := at[p.TopicPartition]; ok {
			batch[i] = p
			continue
		}
		at[p.TopicPartition] = len(batch)
		batch = append(batch, p)
	}
	a.queue = nil
	return batch
}

// send makes one request of a batch, and returns what of it must be tried again.
func (a *AlterISR) send(ctx context.Context, batch []proposal) (left []proposal, err error) {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.BrokerID, req.BrokerEpoch = a.opt.BrokerID, a.opt.BrokerEpoch()
	at := map[string]int{}
	for _, p := range batch {
		i, ok := at[p.Topic]
		if !ok {
			i = len(req.Topics)
			at[p.Topic] = i
			t := kmsg.NewAlterPartitionRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		rp.Partition, rp.LeaderEpoch, rp.NewISR, rp.PartitionEpoch = p.Partition, p.LeaderEpoch, p.ISR, p.Version
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	msg, err := a.roundTrip(ctx, req)
	if err != nil {
		a.hangUp()
		return batch, err
	}
	resp := msg.(*kmsg.AlterPartitionResponse)
	if resp.ErrorCode != 0 {
		a.hangUp() // the controller may be another
		return batch, kerr.ErrorForCode(resp.ErrorCode)
	}
	answers := map[storage.TopicPartition]*kmsg.AlterPartitionResponseTopicPartition{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			rp := &resp.Topics[i].Partitions[j]
			answers[storage.TopicPartition{Topic: resp.Topics[i].Topic, Partition: rp.Partition}] = rp
		}
	}
	for _, p := range batch {
		rp := answers[p.TopicPartition]
		if rp == nil {
			left = append(left, p)
			continue
		}
		if again := a.answer(ctx, p, rp); again != nil {
			left, err = append(left, p), again
		}
	}
	return left, err
}

// answer tells the partition. It returns why the change is to be asked for again, nil if it is not.
func (a *AlterISR) answer(ctx context.Context, p proposal, rp *kmsg.AlterPartitionResponseTopicPartition) error {
	switch code := rp.ErrorCode; code {
	case 0:
		p.done(ISRAnswer{Leader: rp.LeaderID, LeaderEpoch: rp.LeaderEpoch, ISR: rp.ISR, Version: rp.PartitionEpoch})
	case kerr.InvalidUpdateVersion.Code:
		// Somebody else wrote; or this broker did, and the answer was lost. What stands is the truth.
		stands, err := a.opt.Read(ctx, p.TopicPartition)
		if err != nil {
			return fmt.Errorf("read the state of %v: %w", p.TopicPartition, err)
		}
		if stands.LeaderEpoch == p.LeaderEpoch && stands.Version <= p.Version {
			return kerr.InvalidUpdateVersion // the controller, or the server that was read from, is behind
		}
		p.done(stands)
	case kerr.FencedLeaderEpoch.Code, kerr.UnknownTopicOrPartition.Code, kerr.InvalidRequest.Code:
		p.done(ISRAnswer{Err: fmt.Errorf("%w: %w", ErrISRRefused, kerr.ErrorForCode(code))})
	default:
		return kerr.ErrorForCode(code)
	}
	return nil
}

var errNoController = errors.New("no controller is known")

func (a *AlterISR) roundTrip(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	addr, ok := a.opt.Controller()
	if !ok {
		return nil, errNoController
	}
	a.mu.Lock()
	conn, where := a.conn, a.addr
	a.mu.Unlock()
	if conn != nil && where != addr {
		a.hangUp()
		conn = nil
	}
	if conn == nil {
		var err error
		if conn, err = peer.Dial(ctx, a.opt.Dial, addr, "broker-"+strconv.Itoa(int(a.opt.BrokerID))+"-alter-isr", a.opt.Timeout); err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.conn, a.addr = conn, addr
		a.mu.Unlock()
		if ctx.Err() != nil {
			a.hangUp()
			return nil, ctx.Err()
		}
	}
	defer a.watch(addr)()
	return conn.RoundTrip(req)
}

// controllerCheck is how soon a request that waits for a controller's answer goes to its successor instead.
const controllerCheck = 200 * time.Millisecond

// watch ends the connection when the controller is reached elsewhere: one that is paused or cut off does not answer until the timeout.
func (a *AlterISR) watch(addr string) (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(controllerCheck)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				if now, ok := a.opt.Controller(); ok && now != addr {
					a.hangUp()
					return
				}
			}
		}
	}()
	return func() { close(done) }
}

func (a *AlterISR) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}
