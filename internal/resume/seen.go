package resume

import "hash/maphash"

// maxSeen is how many taken events are remembered. While a life's events are held back, those that are fetched meanwhile
// are the same ones in the end; there are never more of them than the hold has room for, so that none is forgotten too soon.
const maxSeen = 64 << 10

// key tells events apart. 128 bits of a keyed hash do not meet by chance or by the upstream's design. The zero key is that
// of an event that cannot be told from others.
type key [2]uint64

// seen remembers the newest events that were taken.
type seen struct {
	seeds [4]maphash.Seed
	ring  []memory // at most maxSeen
	next  int      // where the next one goes, once the ring is full
	keys  map[key]struct{}
}

type memory struct {
	key    key
	number uint64 // as the Taker counts
}

func newSeen() *seen {
	s := &seen{keys: make(map[key]struct{})}
	for i := range s.seeds {
		s.seeds[i] = maphash.MakeSeed()
	}
	return s
}

// key is that of an event's id, or of its position where it has none.
func (s *seen) key(id, position []byte) key {
	switch {
	case len(id) > 0:
		return key{maphash.Bytes(s.seeds[0], id), maphash.Bytes(s.seeds[1], id)}
	case position != nil:
		return key{maphash.Bytes(s.seeds[2], position), maphash.Bytes(s.seeds[3], position)}
	}
	return key{}
}

func (s *seen) has(k key) bool {
	_, ok := s.keys[k]
	return ok
}

// add remembers an event that is not there yet. Numbers only grow, but for forget.
func (s *seen) add(k key, number uint64) {
	if k == (key{}) {
		return
	}
	s.keys[k] = struct{}{}
	m := memory{k, number}
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, m)
		return
	}
	delete(s.keys, s.ring[s.next].key)
	s.ring[s.next] = m
	s.next = (s.next + 1) % maxSeen
}

// forget forgets the events after the number done: they are to be taken once more.
func (s *seen) forget(done uint64) {
	kept := make([]memory, 0, len(s.ring))
	for i := range s.ring {
		m := s.ring[(s.next+i)%len(s.ring)]
		if m.number <= done {
			kept = append(kept, m)
		} else {
			delete(s.keys, m.key)
		}
	}
	s.ring, s.next = kept, 0
}
