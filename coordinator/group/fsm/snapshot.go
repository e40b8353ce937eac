package fsm

// EachOffset calls f for each committed offset, in no order.
func (g *Group) EachOffset(f func(TP, *Offset)) {
	if g.state == Dead {
		return
	}
	for tp, o := range g.offsets.committed {
		f(tp, o)
	}
}
