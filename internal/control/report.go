package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"feedmux/pool"
	"feedmux/shard"
)

// Report is the body of /api/status. With ?feed=NAME it holds that feed alone, its readiness included; with &topic=NAME
// beside it, the feed's ledger is the line of that topic.
type Report struct {
	Version   string        `json:"version"`
	Started   time.Time     `json:"started"`
	Uptime    pool.Seconds  `json:"uptime_s"`
	Readiness Readiness     `json:"readiness"`
	Feeds     []pool.Status `json:"feeds"`              // those that answered
	Delivery  *Delivery     `json:"delivery,omitempty"` // absent where it did not answer
	Errors    []string      `json:"errors,omitempty"`   // who did not answer, and why

	// TokensDie is when the token dies, or died, that a feed dials with, by feed; it has those of which that is known.
	TokensDie map[string]time.Time `json:"tokens_die,omitempty"`

	// TokensDue is from when on that token should have been replaced: its renewal is late, or a person is needed. It has those
	// of TokensDie.
	TokensDue map[string]time.Time `json:"tokens_due,omitempty"`

	// Lost is what went nowhere and somebody may miss, since the start, by feed and reason: of what feedmux_dropped_total
	// counts, all that is not pool.Harmless. It has no zeros; nil where delivery did not answer.
	Lost map[string]map[string]uint64 `json:"lost,omitzero"`

	// Notes are what waits for somebody to do something, in sentences.
	Notes []string `json:"notes,omitempty"`
}

// Report asks the loops as /api/status does: of one feed, or of all where feed is empty. It fails with ErrNoFeed where
// there is none of that name. A ledger is copied in its pool's loop: the caller sees to it that few are asked for at a time.
func (o *Options) Report(ctx context.Context, feed string, ledger bool) (Report, error) {
	feeds := o.feedsNamed(feed)
	if feed != "" && feeds == nil {
		return Report{}, fmt.Errorf("feed %q: %w", feed, ErrNoFeed)
	}
	return o.report(ctx, feeds, ledger), nil
}

// ErrNoFeed says that no feed has the name that was asked for.
var ErrNoFeed = errors.New("there is none called so")

func (o *Options) report(ctx context.Context, feeds []Feed, ledger bool) Report {
	a := o.ask(ctx, feeds, ledger)
	r := Report{
		Version:   o.Version,
		Started:   o.Started,
		Uptime:    pool.Seconds(time.Since(o.Started)),
		Readiness: readiness(a.feeds, o.Ready()),
		Feeds:     make([]pool.Status, 0, len(a.feeds)),
	}
	if o.Notes != nil {
		r.Notes = o.Notes()
	}
	r.TokensDie = times(feeds, func(f Feed) func() time.Time { return f.TokenDies })
	r.TokensDue = times(feeds, func(f Feed) func() time.Time { return f.TokenDue })
	for _, f := range a.feeds {
		if f.err != nil {
			r.Errors = append(r.Errors, f.err.Error())
			continue
		}
		r.Feeds = append(r.Feeds, f.status)
	}
	if a.err != nil {
		r.Errors = append(r.Errors, a.err.Error())
		return r
	}
	r.Delivery, r.Lost = &a.delivery, make(map[string]map[string]uint64)
	for i := range r.Feeds {
		if some := lost(&r.Feeds[i], r.Delivery); len(some) > 0 {
			r.Lost[r.Feeds[i].Feed] = some
		}
	}
	return r
}

// lost is what of a feed went nowhere and somebody may miss, by reason.
func lost(s *pool.Status, d *Delivery) map[string]uint64 {
	counts := dropped(s, d)
	maps.DeleteFunc(counts, func(reason string, n uint64) bool { return n == 0 || pool.Harmless(reason) })
	return counts
}

// times are what those feeds say that know it, by name.
func times(feeds []Feed, of func(Feed) func() time.Time) map[string]time.Time {
	known := make(map[string]time.Time)
	for _, f := range feeds {
		if ask := of(f); ask != nil {
			if at := ask(); !at.IsZero() {
				known[f.Name] = at
			}
		}
	}
	return known
}

// question is what a request to /api/status asks for.
type question struct {
	feed   string      // empty: all
	topic  shard.Topic // of feed: its line alone; empty: none
	ledger bool        // every line
}

// parseQuestion is strict, because a misspelt parameter would look like an answer.
func parseQuestion(query string) (question, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return question{}, fmt.Errorf("read the query: %w", err)
	}
	var q question
	for key, given := range values {
		if len(given) > 1 {
			return question{}, fmt.Errorf("%s: given %d times", key, len(given))
		}
		switch key {
		case "feed":
			q.feed = given[0]
		case "topic":
			q.topic = shard.Topic(given[0])
		case "ledger":
			if q.ledger, err = strconv.ParseBool(given[0]); err != nil {
				return question{}, fmt.Errorf("ledger: must be 1 or 0, not %q", given[0])
			}
		default:
			return question{}, fmt.Errorf("%q: no such parameter; there are feed, topic and ledger", key)
		}
	}
	if q.topic != "" {
		if q.feed == "" {
			return question{}, errors.New("topic: needs feed=NAME beside it")
		}
		q.ledger = false
	}
	return q, nil
}

// ofTopic is the report of one feed with the line of one topic in its ledger. It says no where the topic is not wanted.
func (o *Options) ofTopic(ctx context.Context, f Feed, topic shard.Topic) (r Report, wanted bool) {
	r = o.report(ctx, []Feed{f}, false)
	if len(r.Feeds) == 0 {
		return r, true // its loop does not answer, which is said
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line, wanted, err := f.Topic(ctx, topic)
	if err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("ask the loop of feed %s: %v", f.Name, err))
		return r, true
	}
	r.Feeds[0].Ledger = []pool.TopicStatus{line}
	return r, wanted
}

// feedsNamed returns the feed of that name, or all where name is empty; none where there is no such feed.
func (o *Options) feedsNamed(name string) []Feed {
	feeds := o.Feeds()
	if name == "" {
		return feeds
	}
	i := slices.IndexFunc(feeds, func(f Feed) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return feeds[i : i+1]
}
