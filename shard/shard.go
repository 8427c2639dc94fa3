// Package shard decides which slot of a pool carries which topic.
//
// It is pure: no clock, no randomness, no memory of its own. Equal inputs give equal plans, and a plan made from its
// own result changes nothing.
package shard

// Topic is one upstream stream, in its protocol's own spelling.
type Topic string

// Slot is the place of one connection in a pool, counted from zero.
type Slot int

// Wanted is a topic that somebody asked for.
type Wanted struct {
	Topic    Topic
	Priority int // higher is more wanted
}

// Placement is how topics fill the slots.
type Placement int

const (
	Pack   Placement = iota // as few connections as possible
	Spread                  // as level as possible
)

// Room is how many topics each slot can take; zero means the slot is closed.
type Room []int

// Assignment says which slot carries a topic. A topic that is not in it has no place.
type Assignment map[Topic]Slot
