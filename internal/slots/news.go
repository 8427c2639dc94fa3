package slots

import (
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Order is what a Conn is to do, whole: the newest replaces the one before.
type Order struct {
	Topics []*topic.Topic // that have their place in the slot, most wanted first; they must not change afterwards

	// Renewals is how many times connections were to be renewed so far: a life that began under a lower number is
	// handed over to a new one.
	Renewals int

	// Credential is how often the secret has changed so far: sessions that still have an older one get the new one.
	Credential int
}

// News is what a Conn tells whoever made it: one of the types below.
type News interface{ news() }

// StateNews says that the slot changed state, or that its topics are another life's now.
type StateNews struct {
	Slot     shard.Slot
	Life     int
	State    State
	At       time.Time
	NextDial time.Time   // waiting: when
	Cause    cause.Cause // leaving, waiting, parked, closed: why; live: why its topics were handed over to this life
	Err      error       // for people; holds no secret
}

// LifeEnded says that a life is over: whatever was asked or confirmed on it is not any more.
type LifeEnded struct {
	Slot      shard.Slot
	LastFrame time.Time // when anything last came
	Cause     cause.Cause

	// Heir are the topics that another life of the slot has confirmed, and since when; with no time if this one had not.
	// Those that were confirmed there after LastFrame were dark in between.
	Heir map[*topic.Topic]time.Time

	// Replaced says that the slot's topics are another life's, already or still: but for Alone, which only this life had.
	Replaced bool
	Alone    map[*topic.Topic]bool
}

// DialEnded says what became of a dial.
type DialEnded struct {
	Slot   shard.Slot
	Cause  cause.Cause // "" if it succeeded
	Waited time.Duration
}

// TopicNews says what became of topics that have their place in the slot.
type TopicNews struct {
	Slot       shard.Slot
	Credential int // of the newest Order
	topic.News
}

// FullNews says that the upstream takes no more topics on this life than it has now.
type FullNews struct {
	Slot     shard.Slot
	Capacity int // topics, at least 1
}

// PongNews says how long an answer to a ping took.
type PongNews struct {
	Slot shard.Slot
	RTT  time.Duration
}

func (StateNews) news() {}
func (LifeEnded) news() {}
func (DialEnded) news() {}
func (TopicNews) news() {}
func (FullNews) news()  {}
func (PongNews) news()  {}
