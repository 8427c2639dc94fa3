package control

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"feedmux/pool"
)

// Report is the body of /api/status. With ?feed=NAME it holds that feed alone, its readiness included.
type Report struct {
	Version   string        `json:"version"`
	Started   time.Time     `json:"started"`
	Uptime    pool.Seconds  `json:"uptime_s"`
	Readiness Readiness     `json:"readiness"`
	Feeds     []pool.Status `json:"feeds"`              // those that answered
	Delivery  *Delivery     `json:"delivery,omitempty"` // absent where it did not answer
	Errors    []string      `json:"errors,omitempty"`   // who did not answer, and why
}

func (o *Options) report(ctx context.Context, feeds []Feed, ledger bool) Report {
	a := o.ask(ctx, feeds, ledger)
	r := Report{
		Version:   o.Version,
		Started:   o.Started,
		Uptime:    pool.Seconds(time.Since(o.Started)),
		Readiness: readiness(a.feeds, o.Ready),
		Feeds:     make([]pool.Status, 0, len(a.feeds)),
	}
	for _, f := range a.feeds {
		if f.err != nil {
			r.Errors = append(r.Errors, f.err.Error())
			continue
		}
		r.Feeds = append(r.Feeds, f.status)
	}
	if a.err != nil {
		r.Errors = append(r.Errors, a.err.Error())
	} else {
		r.Delivery = &a.delivery
	}
	return r
}

// question is what a request to /api/status asks for.
type question struct {
	feed   string // empty: all
	ledger bool
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
		case "ledger":
			if q.ledger, err = strconv.ParseBool(given[0]); err != nil {
				return question{}, fmt.Errorf("ledger: must be 1 or 0, not %q", given[0])
			}
		default:
			return question{}, fmt.Errorf("%q: no such parameter; there are feed and ledger", key)
		}
	}
	return q, nil
}

// feedsNamed returns the feed of that name, or all where name is empty; none where there is no such feed.
func (o *Options) feedsNamed(name string) []Feed {
	if name == "" {
		return o.Feeds
	}
	i := slices.IndexFunc(o.Feeds, func(f Feed) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return o.Feeds[i : i+1]
}
