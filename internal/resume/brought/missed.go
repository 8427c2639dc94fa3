package brought

import "slices"

// maxMissed is how many missed events are told apart.
const maxMissed = 1024

// Missed are events that were left out, and that what is fetched may have passed already. Each is missed until it is seen
// after all. When too many are, they become one of which nobody can say that.
type Missed struct {
	Order Order // must not change; nor must
	Seen  *Seen
	list  []missed
}

type missed struct {
	key    Key
	before []byte
}

// Add notes an event that comes right after the position before.
func (m *Missed) Add(k Key, before []byte) {
	if len(m.list) == maxMissed {
		if m.prune(); len(m.list) > maxMissed/2 {
			m.list = []missed{{before: m.lowest()}}
		}
	}
	m.list = append(m.list, missed{k, slices.Clone(before)})
}

// After is the position after which all of them come; nil: there is none. The caller does not change it.
func (m *Missed) After() []byte {
	m.prune()
	return m.lowest()
}

// Clear forgets them.
func (m *Missed) Clear() { m.list = nil }

func (m *Missed) prune() {
	m.list = slices.DeleteFunc(m.list, func(e missed) bool { return m.Seen.Has(e.key) })
}

func (m *Missed) lowest() (p []byte) {
	for _, e := range m.list {
		if p == nil || m.Order.Compare(e.before, p) < 0 {
			p = e.before
		}
	}
	return p
}
