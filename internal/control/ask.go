package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"feedmux/pool"
)

// patience is how long a loop may take to answer before it counts as standing still.
const patience = 2 * time.Second

// answers is what the loops said of themselves at about one moment.
type answers struct {
	feeds    []feedAnswer // in the order in which they were asked
	delivery Delivery
	err      error // why delivery did not answer
}

type feedAnswer struct {
	name   string
	status pool.Status
	err    error // why the feed did not answer
}

// ask asks delivery and the given feeds, all at once, and waits for no longer than patience.
func (o *Options) ask(ctx context.Context, feeds []Feed, ledger bool) answers {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	a := answers{feeds: make([]feedAnswer, len(feeds))}
	var asked sync.WaitGroup
	for i, f := range feeds {
		asked.Go(func() {
			status, err := f.Status(ctx, ledger)
			if err != nil {
				err = fmt.Errorf("ask the loop of feed %s: %w", f.Name, err)
			}
			a.feeds[i] = feedAnswer{f.Name, status, err}
		})
	}
	asked.Go(func() {
		var err error
		if a.delivery, err = o.Delivery(ctx); err != nil {
			a.err = fmt.Errorf("ask the loop of delivery: %w", err)
		}
	})
	asked.Wait()
	return a
}

// silent names everyone who did not answer; nil when all did.
func (a *answers) silent() error {
	errs := make([]error, 0, len(a.feeds)+1)
	for _, f := range a.feeds {
		errs = append(errs, f.err)
	}
	return errors.Join(append(errs, a.err)...)
}

// Health is nil when every loop turns: each answered within two seconds. Otherwise it names those that did not, one a
// line. It says nothing of upstreams or NATS, so a watchdog may act on it.
func (o *Options) Health(ctx context.Context) error {
	a := o.ask(ctx, o.Feeds(), false)
	return a.silent()
}
