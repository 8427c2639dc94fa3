package console

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report is what is shown of the body of /api/status. What a daemon does not say has its zero value.
type Report struct {
	Version   string
	Uptime    seconds `json:"uptime_s"`
	Readiness struct {
		Ready  bool
		Share  float64
		Needed float64
		Feeds  []readiness
	}
	Feeds     []Feed
	Delivery  *delivery
	Errors    []string
	TokensDie map[string]time.Time `json:"tokens_die"`
	Notes     []string

	at time.Time // when it was asked for
}

// Read reads the body of /api/status as it was at that time.
func Read(body []byte, at time.Time) (*Report, error) {
	r := &Report{at: at}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("reading feedmux's status: %w", err)
	}
	return r, nil
}

type readiness struct {
	Feed  string
	Ready bool
	Share float64
	Error string
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
	Slots    []slot
	Dark     int
	Counters struct {
		Events    uint64
		LastEvent time.Time `json:"last_event"`
		Gaps      map[string]uint64
		GapTime   seconds `json:"gap_s"`
	}
	Ledger []topic
}

type slot struct {
	Slot      int
	State     string
	Since     time.Time
	Life      int
	Topics    int
	Confirmed int
	Events    uint64
	LastCause string    `json:"last_cause"`
	LastError string    `json:"last_error"`
	PingRTT   seconds   `json:"ping_rtt_s"`
	LastFrame time.Time `json:"last_frame"`
	NextDial  time.Time `json:"next_dial"`
	Starved   time.Time
	Outdated  bool
}

type topic struct {
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
	LastGap   *gap `json:"last_gap"`
}

type gap struct {
	From, To      time.Time
	Cause, Filled string
}

type delivery struct {
	Connected      bool
	Server         string
	Reconnects     uint64
	Refused        uint64
	BufferBytes    int64   `json:"buffer_bytes"`
	BufferLimit    int64   `json:"buffer_limit_bytes"`
	Oldest         seconds `json:"oldest_s"`
	Published      map[string]uint64
	Dropped        map[string]map[string]uint64
	NoticesWaiting int    `json:"notices_waiting"`
	NoticesDropped uint64 `json:"notices_dropped"`
}

// seconds is a duration that is a plain number in JSON.
type seconds time.Duration

func (s *seconds) UnmarshalJSON(text []byte) error {
	var f float64
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*s = seconds(f * float64(time.Second))
	return nil
}

// placeable is how many topics could be confirmed.
func (f *Feed) placeable() int { return f.Topics.Assigned + f.Topics.Asked + f.Topics.Confirmed }

// slot is the slot of that number; nil where there is none.
func (f *Feed) slot(n int) *slot {
	for i := range f.Slots {
		if f.Slots[i].Slot == n {
			return &f.Slots[i]
		}
	}
	return nil
}

// feed is the feed of that name; nil where there is none, or nothing to look in.
func (r *Report) feed(name string) *Feed {
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
