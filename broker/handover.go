package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/wire/peer"
)

// handOver lets the controller move this broker's leaderships to others before it stops (controlled shutdown), so that nobody waits for
// its session to end. Where nobody else is alive there is nothing to move.
func (b *Broker) handOver(ctx context.Context) {
	r := b.cfg.Replica
	if !r.ControlledShutdown || b.cache == nil || len(b.cache.Brokers()) < 2 {
		return
	}
	for left := r.ShutdownRetries; left > 0; left-- {
		err := b.askToStop(ctx)
		if err == nil {
			b.log.Info("Controlled shutdown succeeded")
			return
		}
		b.log.Infof("Controlled shutdown is tried %d more times: %v", left-1, err)
		if left == 1 || !b.zk.Connected() { // without ZooKeeper no controller can move anything
			break
		}
		pause := time.NewTimer(r.ShutdownBackoff)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			left = 1
		}
	}
	b.log.Warn("Proceeding to do an unclean shutdown as all the controlled shutdown attempts failed")
}

func (b *Broker) askToStop(ctx context.Context) error {
	id := b.cache.ControllerID()
	addr, ok := b.endpoint(id, b.controlListener())
	if !ok {
		return fmt.Errorf("the address of the controller, broker %d, is not known", id)
	}
	conn, err := peer.Dial(ctx, b.opt.Dial, addr, strconv.Itoa(int(b.cfg.ID)), b.cfg.ControllerTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	req := kmsg.NewPtrControlledShutdownRequest()
	req.Version = b.cfg.InterBrokerVersion.InterBroker().ControlledShutdown
	req.BrokerID, req.BrokerEpoch = b.cfg.ID, b.epoch.Load()
	msg, err := conn.RoundTrip(req)
	if err != nil {
		return err
	}
	resp := msg.(*kmsg.ControlledShutdownResponse)
	if resp.ErrorCode != 0 {
		return fmt.Errorf("controller %d answers %w", id, kerr.ErrorForCode(resp.ErrorCode))
	}
	if n := len(resp.PartitionsRemaining); n > 0 {
		return fmt.Errorf("%d partitions have no other replica in sync that could lead them (%s-%d, ...)", n, resp.PartitionsRemaining[0].Topic, resp.PartitionsRemaining[0].Partition)
	}
	return nil
}
