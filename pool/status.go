package pool

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Status is what a pool knows of itself at one moment. It is the receiver's to keep.
type Status struct {
	Feed     string        `json:"feed"`
	Protocol string        `json:"protocol"`
	Account  AccountStatus `json:"account"`
	Capacity int           `json:"capacity"` // topics that all slots can take now
	Topics   TopicCounts   `json:"topics"`
	Slots    []SlotStatus  `json:"slots"`
	Dark     int           `json:"dark"` // topics with a place that were confirmed once and are not now
	PutOff   PutOff        `json:"put_off"`
	Counters Counters      `json:"counters"`

	// Ledger is filled only where it was asked for: every wanted topic, most wanted first.
	Ledger []TopicStatus `json:"ledger,omitempty"`
}

// AccountStatus is what an upstream counts together.
type AccountStatus struct {
	Name        string    `json:"name"`
	Connections int       `json:"connections"` // sockets open or being opened
	Limit       int       `json:"limit"`
	Probing     bool      `json:"probing"`            // no connection lives: one slot at a time dials for all, now or soon
	NextDial    time.Time `json:"next_dial,omitzero"` // nobody dials before
	Waits       string    `json:"waits,omitempty"`    // for people: why no slot of this feed that should be connected dials just now
}

// TopicCounts is how many wanted topics are in each state.
type TopicCounts struct {
	Wanted    int `json:"wanted"`
	Unplaced  int `json:"unplaced"`
	Assigned  int `json:"assigned"`
	Asked     int `json:"asked"`
	Confirmed int `json:"confirmed"`
	Refused   int `json:"refused"`
}

// In returns the count for one state.
func (c TopicCounts) In(s topic.State) int {
	return [...]int{c.Unplaced, c.Assigned, c.Asked, c.Confirmed, c.Refused}[s]
}

// Placeable is how many topics could be confirmed: those that have a place and were not refused.
func (c TopicCounts) Placeable() int { return c.Assigned + c.Asked + c.Confirmed }

// Ready is the share of placeable topics that are confirmed, from 0 to 1; 1 where there is nothing to confirm.
func (c TopicCounts) Ready() float64 {
	if c.Placeable() == 0 {
		return 1
	}
	return float64(c.Confirmed) / float64(c.Placeable())
}

// SlotStatus is what is known of one slot.
type SlotStatus struct {
	Slot      shard.Slot  `json:"slot"`
	State     slots.State `json:"state"`
	Since     time.Time   `json:"since"`
	Began     time.Time   `json:"began,omitzero"`     // when the life that serves was connected
	Outdated  bool        `json:"outdated,omitempty"` // it was dialled with settings that have changed since
	Life      int         `json:"life"`               // 0 before the first dial
	Topics    int         `json:"topics"`
	Confirmed int         `json:"confirmed"`
	Events    uint64      `json:"events"`
	LastCause cause.Cause `json:"last_cause,omitempty"` // why the life before ended
	LastError string      `json:"last_error,omitempty"` // for people; holds no secret
	PingRTT   Seconds     `json:"ping_rtt_s,omitempty"` // of the newest answered ping
	LastFrame time.Time   `json:"last_frame,omitzero"`  // when anything last came
	NextDial  time.Time   `json:"next_dial,omitzero"`   // when its backoff passes
	Starved   time.Time   `json:"starved,omitzero"`     // since when nothing comes that should
}

// Counters only grow. Maps hold the keys that have occurred.
type Counters struct {
	Events      uint64                 `json:"events"`
	LastEvent   time.Time              `json:"last_event,omitzero"`
	Dials       map[string]uint64      `json:"dials"`               // by result: "ok" or a Cause
	Disconnects map[cause.Cause]uint64 `json:"disconnects"`         // lives that were open and ended
	Skipped     map[string]uint64      `json:"skipped"`             // messages that carried no event for anyone, by reason
	SkippedAt   time.Time              `json:"skipped_at,omitzero"` // the last that somebody may miss, as it was logged: to a minute
	Odd         map[string]uint64      `json:"odd"`                 // events that contradict themselves or what came before, by kind
	Gaps        map[cause.Cause]uint64 `json:"gaps"`                // gaps that opened
	GapTime     Seconds                `json:"gap_s"`               // sum over the topics of closed gaps
	DialWait    Histogram              `json:"dial_wait_s"`         // from wanting to dial to the dial's begin
	PingRTT     Histogram              `json:"ping_rtt_s"`
}

// Seconds is a duration that is a plain number of seconds in JSON.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// Histogram counts durations in fixed buckets.
type Histogram struct {
	Counts [len(HistogramBounds) + 1]uint64 `json:"counts"` // not cumulative; the last one is beyond every bound
	Sum    Seconds                          `json:"sum"`
}

// HistogramBounds are the upper bounds of a Histogram's buckets, in seconds.
var HistogramBounds = [...]float64{0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 120}

func (h *Histogram) add(d time.Duration) {
	i := 0
	for i < len(HistogramBounds) && d.Seconds() > HistogramBounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += Seconds(d)
}

// status puts together what is known.
func (p *Pool) status(withLedger bool) Status {
	in, account := p.ledger.Count, p.opts.Conn.Share.Account()
	gaps, gapTime := p.ledger.Gaps()
	s := Status{
		Feed: p.opts.Conn.Feed, Protocol: p.opts.Name, Account: AccountStatus{
			Name: account.Name(), Connections: account.Connections(), Limit: account.Limit(),
		},
		Capacity: p.room().Total(),
		Topics: TopicCounts{
			Wanted: len(p.ledger.Records()), Unplaced: in(topic.Unplaced), Assigned: in(topic.Assigned), Asked: in(topic.Asked),
			Confirmed: in(topic.Confirmed), Refused: in(topic.Refused),
		},
		Slots:    slices.Clone(p.slots),
		Dark:     p.ledger.Dark(),
		PutOff:   p.putOff(),
		Counters: p.counters,
	}
	p.dialling(&s.Account)
	s.Counters.Dials, s.Counters.Disconnects = maps.Clone(p.counters.Dials), maps.Clone(p.counters.Disconnects)
	s.Counters.Gaps, s.Counters.GapTime = gaps, Seconds(gapTime)
	s.Counters.Skipped, s.Counters.Odd = make(map[string]uint64), make(map[string]uint64)
	for i, c := range p.conns {
		t := c.Tally()
		serving := c.Serving()
		s.Slots[i].Events, s.Slots[i].LastFrame = t.Events, serving.LastFrame
		s.Slots[i].Began, s.Slots[i].Outdated = serving.Began, serving.Outdated
		s.Counters.Events += t.Events
		if t.LastEvent.After(s.Counters.LastEvent) {
			s.Counters.LastEvent = t.LastEvent
		}
		for reason, n := range t.Skipped {
			s.Counters.Skipped[reason] += n
		}
		for kind, odd := range t.Odd {
			s.Counters.Odd[kind] += odd.Count
		}
	}
	for _, r := range p.ledger.Records() {
		if r.State == topic.Confirmed {
			s.Slots[r.Slot].Confirmed++
		}
	}
	if withLedger {
		s.Ledger = p.ledger.Lines()
	}
	return s
}

// dialling says whether a slot is to find out whether the upstream is there at all, and why none dials that should, until when.
func (p *Pool) dialling(a *AccountStatus) {
	share, n := p.opts.Conn.Share, make(map[slots.State]int)
	for i := range p.slots {
		n[p.slots[i].State]++
	}
	a.Probing = n[slots.Waiting]+n[slots.Dialing]+n[slots.Opening] > 0 && share.Probing()
	why, until := share.Waits()
	a.NextDial = until
	switch {
	case n[slots.Waiting]+n[slots.Dialing] > 0 && why != "":
		a.Waits = string(why)
	case n[slots.Dialing] > 0: // it does
	case n[slots.Waiting] > 0:
		a.Waits = "backoff"
	case n[slots.Parked] > 0:
		a.Waits = "there is no credential that works"
	}
}
