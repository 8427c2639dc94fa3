package conn

import (
	"time"

	"feedmux/shard"
)

// News is what a Conn tells whoever made it: one of the types below.
type News interface{ news() }

// SlotNews says that the slot changed state.
type SlotNews struct {
	Slot     shard.Slot
	Life     int
	State    State
	At       time.Time
	NextDial time.Time // waiting: when
	Cause    Cause     // leaving, waiting, closed: why
	Err      error     // for people; holds no secret
}

// LifeEnded says that a life is over: whatever was asked or confirmed on it is not any more.
type LifeEnded struct {
	Slot      shard.Slot
	LastFrame time.Time // when anything last came
	Cause     Cause
}

// DialEnded says what became of a dial.
type DialEnded struct {
	Slot   shard.Slot
	Cause  Cause // "" if it succeeded
	Waited time.Duration
}

// TopicNews says what became of topics that have their place in the slot. It names them by identity: what is said of a
// topic that was removed must not be taken for news of the one that replaced it.
type TopicNews struct {
	Slot   shard.Slot
	Topics []*Topic
	State  TopicState
	By     By
	Reason string
	At     time.Time
}

// PongNews says how long an answer to a ping took.
type PongNews struct {
	Slot shard.Slot
	RTT  time.Duration
}

func (SlotNews) news()  {}
func (LifeEnded) news() {}
func (DialEnded) news() {}
func (TopicNews) news() {}
func (PongNews) news()  {}
