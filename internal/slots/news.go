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
	Life      int
	LastFrame time.Time // when anything last came
	Cause     cause.Cause

	// Heir are the topics that another life of the slot has confirmed, and since when; with no time if this one had not.
	// Those that were confirmed there after LastFrame were dark in between. The keys are those of Topic.Self.
	Heir map[*topic.Topic]time.Time

	// Replaced says that the slot's topics are another life's, already or still: but for Alone, which only this life had.
	// The keys are those of Topic.Self.
	Replaced bool
	Alone    map[*topic.Topic]bool

	// GoesOn says that the life is still there, but that what it brings has not gone on since LastFrame.
	GoesOn bool
}

// DialEnded says what became of a dial.
type DialEnded struct {
	Slot   shard.Slot
	Cause  cause.Cause // "" if it succeeded
	Waited time.Duration
}

// HandOverFailed says that the life that was to take over never will. The one that serves goes on.
type HandOverFailed struct {
	Slot  shard.Slot
	Cause cause.Cause
	Err   error     // for people; holds no secret; or nil
	Again time.Time // when the next one may begin
}

// TopicNews says what became of topics that have their place in the slot.
type TopicNews struct {
	Slot       shard.Slot
	Credential int // of the newest Order
	topic.News
}

// FullNews says that the upstream takes no more topics on a life than Capacity.
type FullNews struct {
	Slot     shard.Slot
	Life     int // the one that serves, or the next one, which is still to begin: then nobody knows which topics it takes
	Capacity int // topics, at least 1
}

// GapNews tells of a gap that is over, of all topics in the slot, whatever is known of them now.
type GapNews struct {
	Slot     shard.Slot
	From, To time.Time // From zero: it began before this run, when the run before was last alive
	Cause    cause.Cause
	At       GapAt
	Filled   topic.Filled
}

// GapAt says on which side of us a gap is.
type GapAt string

const (
	AtUpstream GapAt = "upstream" // we were not listening
	AtDelivery GapAt = "delivery" // events were received and may not have reached NATS
)

// WordsNews is what the upstream says to people. It holds no secret.
type WordsNews struct {
	Slot shard.Slot
	Life int
	Kind string // the upstream's own word for what they are
	Text string
	At   time.Time
}

// PongNews says how long an answer to a ping took.
type PongNews struct {
	Slot shard.Slot
	RTT  time.Duration
}

func (StateNews) news()      {}
func (LifeEnded) news()      {}
func (DialEnded) news()      {}
func (HandOverFailed) news() {}
func (TopicNews) news()      {}
func (FullNews) news()       {}
func (GapNews) news()        {}
func (WordsNews) news()      {}
func (PongNews) news()       {}
