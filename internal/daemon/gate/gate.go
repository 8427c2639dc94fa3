// Package gate lets one at a time change what counts of a daemon, and tells those who wait who that is.
package gate

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Gate lets in one at a time, as long as their context lasts. Any goroutine may use it.
type Gate struct {
	in chan struct{} // room for 1: somebody is in

	mu    sync.Mutex
	who   string
	since time.Time
}

// New is a Gate in which who is already, who leaves it once there is something to change.
func New(who string) *Gate {
	g := &Gate{in: make(chan struct{}, 1)}
	g.in <- struct{}{}
	g.is(who)
	return g
}

// Enter waits until nobody else is in. Whoever it lets in must leave. An error says who was in when ctx ended.
func (g *Gate) Enter(ctx context.Context, who string) error {
	select {
	case g.in <- struct{}{}:
	case <-ctx.Done():
		return g.busy()
	}
	if err := ctx.Err(); err != nil { // both may have been open
		<-g.in
		return fmt.Errorf("nobody waits for the answer any more: %w", err)
	}
	g.is(who)
	return nil
}

// Leave lets the next one in.
func (g *Gate) Leave() {
	g.is("")
	<-g.in
}

func (g *Gate) is(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.who, g.since = who, time.Now()
}

func (g *Gate) busy() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.who == "" {
		return fmt.Errorf("others were changing something all the time: ask again")
	}
	return fmt.Errorf("%s has been changing something since %s, for %s: ask again once that is done",
		g.who, g.since.Format(time.TimeOnly), time.Since(g.since).Round(time.Second))
}
