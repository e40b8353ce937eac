package replication

import "slices"

// ackWaiter is a produce request's wait for one partition's high watermark.
type ackWaiter struct {
	offset int64
	done   func(error)
	result error // once it is over
}

// Resume tells whoever waits.
func (w *ackWaiter) Resume() { w.done(w.result) }

// Replicated says whether an acks=all append up to offset (exclusive) is done already, and with what result.
func (p *Partition) Replicated(offset int64) (bool, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	log, err := p.usable(NoEpoch, true)
	if err != nil {
		return true, err
	}
	if log.HighWatermark() < offset {
		return false, nil
	}
	return true, p.ackResult()
}

// WhenReplicated calls done once, when the high watermark has reached offset or this broker ceases to lead. done must not block. It
// returns nil when that is so already and done has been called; otherwise a function that takes the wait back (and returns false if
// done was called or is about to be).
func (p *Partition) WhenReplicated(offset int64, done func(error)) (cancel func() bool) {
	p.mu.RLock()
	log, err := p.usable(NoEpoch, true)
	if err != nil {
		p.mu.RUnlock()
		done(err)
		return nil
	}
	p.hw.Lock()
	if log.HighWatermark() >= offset {
		p.hw.Unlock()
		err := p.ackResult()
		p.mu.RUnlock()
		done(err)
		return nil
	}
	w := &ackWaiter{offset: offset, done: done}
	p.hw.waiters = append(p.hw.waiters, w)
	p.hw.Unlock()
	p.mu.RUnlock()
	return func() bool {
		p.hw.Lock()
		defer p.hw.Unlock()
		i := slices.Index(p.hw.waiters, w)
		if i < 0 {
			return false
		}
		p.hw.waiters = slices.Delete(p.hw.waiters, i, i+1)
		return true
	}
}

// ackResult, with mu held, is what an acks=all append gets when its offset is replicated.
func (p *Partition) ackResult() error {
	if p.mu.isr.MaximalSize() < p.m.opt.minISR(p.tp.Topic) {
		return ErrNotEnoughReplicasAfterAppend
	}
	return nil
}

// releaseWaiters, with hw and mu (at least shared) held, ends the waits that hw satisfies: in goroutines of their own, or by the caller,
// who finds them in woken.
func (p *Partition) releaseWaiters(hw int64, woken *Woken) {
	keep := p.hw.waiters[:0]
	result := p.ackResult()
	for _, w := range p.hw.waiters {
		switch {
		case w.offset > hw:
			keep = append(keep, w)
		case woken == nil:
			go w.done(result)
		default:
			w.result = result
			woken.Waiters = append(woken.Waiters, w)
		}
	}
	clear(p.hw.waiters[len(keep):])
	p.hw.waiters = keep
}

// failWaiters ends every wait with err, because this broker no longer leads.
func (p *Partition) failWaiters(err error) {
	p.hw.Lock()
	all := p.hw.waiters
	p.hw.waiters = nil
	p.hw.Unlock()
	for _, w := range all {
		go w.done(err)
	}
}
