package asks

import "feedmux/internal/topic"

// Overflow takes that the upstream did not take all that it was asked for, and does not say which: what it was asked for and
// has not confirmed must go elsewhere. It says false where that would be all there is, or nothing: then nobody knows what the
// upstream has.
func (a *Asks) Overflow(l Life) bool {
	confirmed, asked := a.countConfirmed(), 0
	for _, k := range a.list {
		if k.state == topic.Asked {
			asked++
		}
	}
	if confirmed == 0 || asked == 0 {
		return false
	}
	for _, k := range a.list {
		if k.state == topic.Asked {
			k.state = elsewhere
			l.Forget(k.topic.Name)
			a.drops = append(a.drops, k.topic.Name) // it may have taken this one
		}
	}
	a.full = confirmed
	return true
}
