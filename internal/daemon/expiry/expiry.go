// Package expiry warns before a token dies whose upstream kills all of them at a time of day.
package expiry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"feedmux/internal/config"
)

// Expiry warns of the time of day at which a feed's token dies. That is no end for what is open: upstreams of this kind look
// at the token when a connection is made.
type Expiry struct {
	feed string
	dies func(after time.Time) time.Time // the first such time after a given one
	log  *slog.Logger

	changed chan struct{} // room for 1: raised already, nothing is lost

	mu     sync.Mutex
	since  time.Time     // when the token that counts was made, as far as is known
	before time.Duration // how long before its death somebody is told
}

// New begins with a token that was made at since.
func New(feed string, since time.Time, before time.Duration, dies func(after time.Time) time.Time, log *slog.Logger) *Expiry {
	return &Expiry{feed: feed, before: before, dies: dies, log: log, changed: make(chan struct{}, 1), since: since}
}

// Renewed says that there is another token from now on. Any goroutine may call it.
func (e *Expiry) Renewed() {
	e.mu.Lock()
	e.since = time.Now()
	e.mu.Unlock()
	e.look()
}

// Before says how long before a token's death somebody is told, from now on. Any goroutine may call it.
func (e *Expiry) Before(d time.Duration) {
	e.mu.Lock()
	e.before = d
	e.mu.Unlock()
	e.look()
}

// look lets Run work out anew when it is to warn.
func (e *Expiry) look() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// Times are when the token dies, or died, and from when on somebody should see to another one. Any goroutine may ask.
func (e *Expiry) Times() (dies, due time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	dies = e.dies(e.since)
	return dies, dies.Add(-e.before)
}

// renewing is the time that a renewal may take: a command's longest, and as much again to try once more.
const renewing = time.Minute

// Due is from when on a token should have been replaced that renews itself that long before it expires: the time at which that
// begins, and some for doing it. One that does not last that long is renewed after half of its time. since is when it was got.
func Due(since, expires time.Time, before time.Duration) time.Time {
	due := expires.Add(-before)
	if due.Before(since) {
		due = since.Add(expires.Sub(since) / 2)
	}
	if due = due.Add(renewing); due.After(expires) {
		return expires
	}
	return due
}

// Run warns once of each time, until ctx ends: before it, or at once where that has passed.
func (e *Expiry) Run(ctx context.Context) {
	var warned time.Time
	for {
		at, warn := e.Times()
		var due <-chan time.Time
		if !at.Equal(warned) {
			due = time.After(time.Until(warn))
		}
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
		case <-due:
			e.warn(at, time.Until(at))
			warned = at
		}
	}
}

func (e *Expiry) warn(at time.Time, left time.Duration) {
	const then = ": connections that are open go on, new ones need a new token"
	clock := at.Format("15:04 ") + at.Location().String()
	if left <= 0 {
		e.log.Warn("the access token, unless it is newer than it looks, died at "+clock+then, "feed", e.feed, "died", at)
		return
	}
	e.log.Warn(fmt.Sprintf("the access token dies at %s, in %s%s", clock, left.Round(time.Second), then), "feed", e.feed, "dies", at)
}

// MadeAt guesses when the secret of a feed was made: when its file was written, else now.
func MadeAt(f *config.Feed) time.Time {
	now := time.Now()
	if info, err := os.Stat(f.Auth.File); err == nil && info.ModTime().Before(now) {
		return info.ModTime()
	}
	return now
}
