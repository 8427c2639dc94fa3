package page

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/diagnosis"
	"feedmux/internal/slots"
	"feedmux/pool"
	"feedmux/shard"
)

// view is what the templates show. It holds words and figures as they are to be read; what to say is decided in Go.
type view struct {
	Title    string
	Now      time.Time
	Version  string
	Started  moment
	Verdict  diagnosis.Verdict
	Trouble  []troubleView // worst first
	Delivery *deliveryView
	Feeds    []feedView
	Chosen   string // whose ledger is shown
	Topic    *topicView
	Ledger   *ledgerView
}

// moment is a time and how long that is ago, or ahead.
type moment struct {
	At  time.Time
	Ago string
}

func at(t, now time.Time) moment {
	switch d := now.Sub(t); {
	case t.IsZero():
		return moment{}
	case d <= -time.Second:
		return moment{t, "in " + diagnosis.Span(-d)}
	case d < 0:
		return moment{t, "now"}
	case d < time.Second:
		return moment{t, "just now"}
	default:
		return moment{t, diagnosis.Span(d) + " ago"}
	}
}

// Known is false where nothing happened yet.
func (m moment) Known() bool { return !m.At.IsZero() }

type feedView struct {
	Name, Protocol string
	Link           string
	Silent         string // why nothing is known of it; then the rest is empty
	Ready          control.FeedReadiness
	Standing       diagnosis.Trouble
	Account        pool.AccountStatus
	NextDial       moment
	TokenGrade     diagnosis.Grade
	Token          string // "": nothing is known of it
	Capacity       int
	Counts         []countView
	Topics         pool.TopicCounts
	Dark           int
	DarkLink       string
	Events         uint64
	LastEvent      moment
	Slots          []slotView
	Hour           hourView
}

// countView is how many topics are in a state, and which part of the bar that is.
type countView struct {
	State string
	Link  string
	N     int
	X, W  float64 // in hundredths
}

type slotView struct {
	N                                 int
	State, Sign                       string
	Grade                             diagnosis.Grade
	Topics, Confirmed, Room           int
	Filled, Sure                      float64 // in hundredths of Room: with a topic; with a confirmed one
	Ping, Age                         string  // Age: how long it has been in its state
	Life                              int
	Events                            uint64
	Since, Began, LastFrame, NextDial moment
	Outdated                          bool // it was dialled with settings that have changed since
	Cause, Error                      string
}

type deliveryView struct {
	control.Delivery
	Fill      float64 // of the buffer, in hundredths
	Oldest    string
	Published uint64
	Dropped   []lossView // those that are not 0
}

// lossView is how many events of a feed were dropped for a reason.
type lossView struct {
	Feed, Reason string
	N            uint64
}

func (h *handler) view(ctx context.Context, q question) (*view, error) {
	r, q, err := h.figures(ctx, q)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var chosen *pool.TopicStatus
	if i := slices.IndexFunc(r.Feeds, func(s pool.Status) bool { return s.Feed == q.Feed }); i >= 0 && q.Topic != "" {
		chosen = lineIn(r.Feeds[i], q.Topic)
	}
	judged, err := judge(r, q.Feed, chosen, now)
	if err != nil {
		return nil, err
	}
	v := &view{
		Now: now, Version: r.Version, Started: at(r.Started, now), Verdict: judged.Ready(), Trouble: troublesOf(judged), Chosen: q.Feed,
		Delivery: deliveryOf(r.Delivery, judged.Dropped()), Title: titleOf(judged),
	}
	var names []string
	for _, ready := range r.Readiness.Feeds {
		names = append(names, ready.Feed)
	}
	for _, ready := range r.Readiness.Feeds {
		f := feedView{Name: ready.Feed, Link: question{Feed: ready.Feed}.link() + "#ledger", Ready: ready, Silent: ready.Error}
		for _, s := range r.Feeds {
			if s.Feed != f.Name {
				continue
			}
			f.fill(s, judged, now)
			f.Hour = hour(h.Hour(f.Name), now)
			if f.Name == q.Feed {
				v.Ledger = ledgerOf(q, s, names, now)
			}
			if f.Name == q.Feed && q.Topic != "" {
				v.Topic = topicOf(q, f, chosen, judged, now)
			}
		}
		v.Feeds = append(v.Feeds, f)
	}
	return v, nil
}

// titleOf tells in a tab whether all is well, and how many topics are confirmed.
func titleOf(r *diagnosis.Report) string {
	confirmed, placeable := r.Confirmed()
	return fmt.Sprintf("%s %s/%s feedmux", gradeSigns[r.Ready().Grade], diagnosis.Count(confirmed), diagnosis.Count(placeable))
}

func (f *feedView) fill(s pool.Status, r *diagnosis.Report, now time.Time) {
	f.Protocol, f.Account, f.Capacity, f.Topics, f.Dark = s.Protocol, s.Account, s.Capacity, s.Topics, s.Dark
	f.NextDial, f.LastEvent = at(s.Account.NextDial, now), at(s.Counters.LastEvent, now)
	f.Events = s.Counters.Events
	f.DarkLink = question{Feed: f.Name, State: diagnosis.Dark}.link() + "#ledger"
	feed := r.Feed(f.Name)
	f.Standing = feed.Standing()
	f.TokenGrade, f.Token = r.Token(f.Name)
	x := 0.0
	for _, c := range []countView{
		{State: "confirmed", N: s.Topics.Confirmed}, {State: "asked", N: s.Topics.Asked}, {State: "assigned", N: s.Topics.Assigned},
		{State: "refused", N: s.Topics.Refused}, {State: "unplaced", N: s.Topics.Unplaced},
	} {
		c.Link = question{Feed: f.Name, State: c.State}.link() + "#ledger"
		c.X, c.W = x, part(c.N, s.Topics.Wanted)
		x += c.W
		f.Counts = append(f.Counts, c)
	}
	for i, slot := range s.Slots {
		f.Slots = append(f.Slots, slotOf(slot, &feed.Slots[i], roomOf(s, slot), now))
	}
}

// roomOf is how many topics a slot can take. A pool tells what all can take together: an even share of that, and never
// less than the slot has.
func roomOf(s pool.Status, slot pool.SlotStatus) int {
	return max((s.Capacity+len(s.Slots)-1)/len(s.Slots), slot.Topics)
}

// signs are the shapes of the states, for those who see no colours; the word is always there too.
var signs = map[slots.State]string{
	slots.Closed: "·", slots.Waiting: "◌", slots.Dialing: "◔", slots.Opening: "◑", slots.Live: "●", slots.Leaving: "◐", slots.Parked: "■",
}

func slotOf(s pool.SlotStatus, judged *diagnosis.Slot, room int, now time.Time) slotView {
	v := slotView{
		N: int(s.Slot), Sign: signs[s.State],
		Topics: s.Topics, Confirmed: s.Confirmed, Room: room, Filled: part(s.Topics, room), Sure: part(s.Confirmed, room),
		Ping: short(time.Duration(s.PingRTT)), Age: brief(now.Sub(s.Since)), Life: s.Life, Events: s.Events,
		Since: at(s.Since, now), Began: at(s.Began, now), Outdated: s.Outdated, LastFrame: at(s.LastFrame, now), NextDial: at(s.NextDial, now),
		Cause: string(s.LastCause), Error: s.LastError,
	}
	if v.State, v.Grade = judged.Shown(); v.State != s.State.String() { // starved
		v.Sign, v.Age = "○", brief(now.Sub(s.Starved))
	}
	return v
}

func deliveryOf(d *control.Delivery, dropped map[string]map[string]uint64) *deliveryView {
	if d == nil {
		return nil
	}
	v := &deliveryView{Delivery: *d, Fill: 100 * float64(d.BufferBytes) / float64(max(d.BufferLimit, 1))}
	v.Oldest = diagnosis.Span(time.Duration(d.OldestSeconds * float64(time.Second)))
	for _, feed := range slices.Sorted(maps.Keys(dropped)) {
		for _, reason := range slices.Sorted(maps.Keys(dropped[feed])) {
			if n := dropped[feed][reason]; n > 0 {
				v.Dropped = append(v.Dropped, lossView{feed, reason, n})
			}
		}
	}
	for _, n := range d.Published {
		v.Published += n
	}
	return v
}

// part is n of all, in hundredths.
func part(n, all int) float64 { return 100 * float64(n) / float64(max(all, 1)) }

// slotNumber is a slot as people read it; "" for none.
func slotNumber(s *shard.Slot) string {
	if s == nil {
		return ""
	}
	return fmt.Sprint(int(*s))
}
