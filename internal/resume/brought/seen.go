package brought

import "hash/maphash"

// MaxSeen is how many taken events are remembered. While a life's events are held back, those that are fetched meanwhile
// are the same ones in the end; there are never more of them than the hold has room for, so that none is forgotten too soon.
const MaxSeen = 64 << 10

// Key tells events apart. 128 bits of a keyed hash do not meet by chance or by the upstream's design. The zero key is that
// of an event that cannot be told from others. The lowest bit says that it is of a position alone.
type Key [2]uint64

// Seen remembers the newest events that were taken.
type Seen struct {
	seeds [4]maphash.Seed
	ring  []memory // at most MaxSeen
	next  int      // where the next one goes, once the ring is full
	keys  map[Key]struct{}
}

type memory struct {
	key    Key
	number uint64 // as the Taker counts
}

// NewSeen remembers nothing yet.
func NewSeen() *Seen {
	s := &Seen{keys: make(map[Key]struct{})}
	for i := range s.seeds {
		s.seeds[i] = maphash.MakeSeed()
	}
	return s
}

// Key is that of an event's id, or of its position where it has none.
func (s *Seen) Key(id, position []byte) Key {
	switch {
	case len(id) > 0:
		return Key{maphash.Bytes(s.seeds[0], id) &^ 1, maphash.Bytes(s.seeds[1], id)}
	case position != nil:
		return Key{maphash.Bytes(s.seeds[2], position) | 1, maphash.Bytes(s.seeds[3], position)}
	}
	return Key{}
}

// Has says whether an event is remembered; of the zero Key none is.
func (s *Seen) Has(k Key) bool {
	_, ok := s.keys[k]
	return ok
}

// Add remembers an event that is not there yet. Numbers only grow, but for forget.
func (s *Seen) Add(k Key, number uint64) {
	if k == (Key{}) {
		return
	}
	s.keys[k] = struct{}{}
	m := memory{k, number}
	if len(s.ring) < MaxSeen {
		s.ring = append(s.ring, m)
		return
	}
	delete(s.keys, s.ring[s.next].key)
	s.ring[s.next] = m
	s.next = (s.next + 1) % MaxSeen
}

// Forget forgets the events after the number done: they are to be taken once more.
func (s *Seen) Forget(done uint64) { s.forget(func(m memory) bool { return m.number > done }) }

// ForgetPositions forgets the events that are known by their position alone: the positions are others now.
func (s *Seen) ForgetPositions() { s.forget(func(m memory) bool { return m.key[0]&1 == 1 }) }

func (s *Seen) forget(which func(memory) bool) {
	kept := make([]memory, 0, len(s.ring))
	for i := range s.ring {
		m := s.ring[(s.next+i)%len(s.ring)]
		if which(m) {
			delete(s.keys, m.key)
		} else {
			kept = append(kept, m)
		}
	}
	s.ring, s.next = kept, 0
}
