package shard

import "math"

// Topic is one upstream stream, in its protocol's own spelling.
type Topic string

// Slot is the place of one connection in a pool, counted from zero.
type Slot int

// Wanted is a topic that somebody asked for.
type Wanted struct {
	Topic    Topic
	Priority int // higher is more wanted
	Options  any // the protocol's own for this topic; can be compared with ==. They say nothing about its place
}

// Placement is how topics fill the slots.
type Placement int

const (
	Pack   Placement = iota // as few connections as possible
	Spread                  // as level as possible
)

// Room is how many topics each slot can take; zero or less means the slot is closed.
type Room []int

// Total is how many topics all slots can take together.
func (r Room) Total() int {
	total := 0
	for _, n := range r {
		n = max(n, 0)
		if total > math.MaxInt-n {
			return math.MaxInt // a slot without a limit has a very large room
		}
		total += n
	}
	return total
}

// Assignment says which slot carries a topic. A topic that is not in it has no place.
type Assignment map[Topic]Slot
