package controller

import (
	"context"
	"sync"

	"gregor/controller/core"
)

// codeNotController is the answer when this broker is not the controller, or ceases to be while it is asked.
const codeNotController int16 = 41

// asks are the requests of brokers that wait for the loop's answer.
type asks struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan core.Answer
}

func (a *asks) add() (uint64, chan core.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[uint64]chan core.Answer{}
	}
	a.last++
	ch := make(chan core.Answer, 1)
	a.waiting[a.last] = ch
	return a.last, ch
}

func (a *asks) answer(ans core.Answer) {
	a.mu.Lock()
	ch := a.waiting[ans.Ref]
	delete(a.waiting, ans.Ref)
	a.mu.Unlock()
	if ch != nil {
		ch <- ans
	}
}

// failAll answers everybody that this broker is not the controller.
func (a *asks) failAll() {
	a.mu.Lock()
	all := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	for ref, ch := range all {
		ch <- core.Answer{Ref: ref, Code: codeNotController}
	}
}

// ask puts an event on the loop's queue and waits for its answer.
func (c *Controller) ask(ctx context.Context, event func(ref uint64) core.Event) (core.Answer, error) {
	if !c.IsActive() {
		return core.Answer{Code: codeNotController}, nil
	}
	ref, ch := c.asks.add()
	c.queue.put(asked{ref, event(ref)})
	select {
	case ans := <-ch:
		return ans, nil
	case <-ctx.Done():
		c.asks.answer(core.Answer{Ref: ref})
		return core.Answer{}, ctx.Err()
	}
}

// asked is an event on the queue that somebody waits for.
type asked struct {
	ref uint64
	ev  core.Event
}

// AlterIsr changes the in-sync replicas of partitions that a broker leads (KIP-497). It waits until that is written.
func (c *Controller) AlterIsr(ctx context.Context, broker int32, epoch int64, changes []core.IsrChange) (core.Answer, error) {
	return c.ask(ctx, func(ref uint64) core.Event {
		return core.AlterIsr{Ref: ref, Broker: broker, Epoch: epoch, Changes: changes}
	})
}

// ControlledShutdown moves a broker's leaderships away and takes it out of the in-sync replicas. The answer lists what it leads still.
func (c *Controller) ControlledShutdown(ctx context.Context, broker int32, epoch int64) (core.Answer, error) {
	return c.ask(ctx, func(ref uint64) core.Event {
		return core.ControlledShutdown{Ref: ref, Broker: broker, Epoch: epoch}
	})
}

// Reassign begins to move partitions, or cancels their moves.
func (c *Controller) Reassign(ctx context.Context, targets []core.Target) (core.Answer, error) {
	return c.ask(ctx, func(ref uint64) core.Event { return core.Reassign{Ref: ref, Targets: targets} })
}

// Moves lists which partitions are being moved; of nil all.
func (c *Controller) Moves(ctx context.Context, partitions []core.TP) (core.Answer, error) {
	return c.ask(ctx, func(ref uint64) core.Event { return core.ListMoves{Ref: ref, Partitions: partitions} })
}

// Elect elects leaders; of nil for all partitions.
func (c *Controller) Elect(ctx context.Context, partitions []core.TP, unclean bool) (core.Answer, error) {
	return c.ask(ctx, func(ref uint64) core.Event {
		return core.Elect{Ref: ref, Partitions: partitions, All: partitions == nil, Unclean: unclean}
	})
}
