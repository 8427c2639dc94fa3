package diagnosis

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report is what is shown of the body of /api/status. What a daemon does not say has its zero value.
type Report struct {
	Version   string
	Uptime    Seconds `json:"uptime_s"`
	Readiness struct {
		Ready  bool
		Needed float64
		Feeds  []Readiness
	}
	Feeds     []Feed
	Delivery  *Delivery
	Errors    []string
	TokensDie map[string]time.Time `json:"tokens_die"`
	TokensDue map[string]time.Time `json:"tokens_due"` // when a new one should have been there
	Lost      map[string]map[string]uint64
	Notes     []string

	At time.Time `json:"-"` // when it was asked for, in the time zone of whoever reads it
}

// Read reads the body of /api/status as it was at that time.
func Read(body []byte, at time.Time) (*Report, error) {
	r := &Report{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("reading feedmux's status: %w", err)
	}
	r.At = at
	return r, nil
}

// Readiness is that of one feed.
type Readiness struct {
	Feed  string
	Ready bool
	Share float64
}

// Feed is one feed of a Report.
type Feed struct {
	Feed     string
	Protocol string
	Account  struct {
		Name        string
		Connections int
		Limit       int
		Probing     bool
		Waits       string
		NextDial    time.Time `json:"next_dial"`
	}
	Capacity int
	Topics   struct{ Wanted, Unplaced, Assigned, Asked, Confirmed, Refused int }
	Slots    []Slot
	Dark     int
	PutOff   PutOff `json:"put_off"`
	Counters struct {
		Events    uint64
		LastEvent time.Time `json:"last_event"`
		SkippedAt time.Time `json:"skipped_at"`
		Gaps      map[string]uint64
		GapTime   Seconds `json:"gap_s"`
	}
	Ledger []Topic
}

// PutOff are the topics that were asked for and got an answer that is neither yes nor no.
type PutOff struct {
	Topics int
	Reason string // of the most wanted one
}

// Slot is one slot of a Feed.
type Slot struct {
	Slot      int
	State     string
	Since     time.Time
	Life      int
	Topics    int
	Confirmed int
	Events    uint64
	LastCause string    `json:"last_cause"`
	LastError string    `json:"last_error"`
	PingRTT   Seconds   `json:"ping_rtt_s"`
	LastFrame time.Time `json:"last_frame"`
	NextDial  time.Time `json:"next_dial"`
	Starved   time.Time
	Outdated  bool
}

// Topic is one line of a Feed's ledger.
type Topic struct {
	Topic     string
	Subject   string
	Priority  int
	State     string
	Since     time.Time
	By        string
	Reason    string
	Slot      *int
	DarkSince time.Time `json:"dark_since"`
	Events    uint64
	LastEvent time.Time `json:"last_event"`
	Gaps      int
	LastGap   *Gap `json:"last_gap"`
}

// Gap is a time in which a topic was dark; with no To it goes on.
type Gap struct {
	From, To      time.Time
	Cause, Filled string
}

// Delivery is what becomes of events.
type Delivery struct {
	Connected      bool
	Server         string
	Trouble        string // why it is not connected; "": nobody said
	Reconnects     uint64
	Refused        uint64
	RefusedAt      time.Time `json:"refused_at"`
	BufferBytes    int64     `json:"buffer_bytes"`
	BufferLimit    int64     `json:"buffer_limit_bytes"`
	Oldest         Seconds   `json:"oldest_s"`
	Unconfirmed    Seconds   `json:"unconfirmed_s"`
	Published      map[string]uint64
	Dropped        map[string]map[string]uint64
	DroppedAt      map[string]time.Time `json:"dropped_at"` // by feed: the last of them, to 10 s
	NoticesWaiting int                  `json:"notices_waiting"`
	NoticesDropped uint64               `json:"notices_dropped"`
}

// Seconds is a duration that is a plain number in JSON.
type Seconds time.Duration

// UnmarshalJSON reads seconds.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	var f float64
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}

// Dropped is what came and went nowhere, by feed and reason.
func (r *Report) Dropped() map[string]map[string]uint64 {
	if r.Lost == nil && r.Delivery != nil { // an older daemon says only what delivery dropped
		return r.Delivery.Dropped
	}
	return r.Lost
}

// Placeable is how many topics could be confirmed.
func (f *Feed) Placeable() int { return f.Topics.Assigned + f.Topics.Asked + f.Topics.Confirmed }

// Slot is the slot of that number; nil where there is none.
func (f *Feed) Slot(n int) *Slot {
	for i := range f.Slots {
		if f.Slots[i].Slot == n {
			return &f.Slots[i]
		}
	}
	return nil
}

// Topic is the line of the ledger for a topic; nil where there is none.
func (f *Feed) Topic(name string) *Topic {
	for i := range f.Ledger {
		if f.Ledger[i].Topic == name {
			return &f.Ledger[i]
		}
	}
	return nil
}

// Carrier is the slot that a topic has its place in; nil where it has none.
func (f *Feed) Carrier(t *Topic) *Slot {
	if t.Slot == nil {
		return nil
	}
	return f.Slot(*t.Slot)
}

// Feed is the feed of that name; nil where there is none, or no report to look in.
func (r *Report) Feed(name string) *Feed {
	if r == nil {
		return nil
	}
	for i := range r.Feeds {
		if r.Feeds[i].Feed == name {
			return &r.Feeds[i]
		}
	}
	return nil
}
