// Package accounts keeps the accounts that feeds share while feeds come and go. An account outlives its feeds: its upstream goes
// on counting what a feed had that is gone, its connections until they are known to be closed, and its dials.
package accounts

import (
	"fmt"
	"slices"
	"time"

	"feedmux/internal/account"
	"feedmux/limiter"
)

// All are the accounts, by their names. One goroutine at a time uses them.
type All map[string]*counted

// counted is one account.
type counted struct {
	*account.Account
	figures figures
	given   int              // connections, of all shares
	free    []*account.Share // of feeds that are gone
}

// figures are what an account was made with. Others need a restart.
type figures struct {
	connections, inFlight int
	dials                 limiter.Window
	hold                  time.Duration
}

func figuresOf(o account.Options) figures { return figures{o.Connections, o.InFlight, o.Dials, o.Hold} }

// Has says whether there is an account like this.
func (a All) Has(o account.Options) bool {
	of := a[o.Name]
	return of != nil && of.figures == figuresOf(o)
}

// Share gives a feed its share of the account that o describes, which is made for the first feed that asks.
func (a All) Share(feed string, connections int, o account.Options) (*account.Share, error) {
	of := a[o.Name]
	if of == nil {
		of = &counted{figures: figuresOf(o), Account: account.New(o)}
		a[o.Name] = of
	}
	if of.figures != figuresOf(o) {
		return nil, errOther(o.Name)
	}
	for i, s := range of.free {
		if s.Limit() == connections {
			of.free = slices.Delete(of.free, i, i+1)
			return s, nil
		}
	}
	s, err := of.Join(feed, connections)
	if err == nil {
		of.given += connections
	}
	return s, err
}

func errOther(name string) error {
	return fmt.Errorf("its account %s is in use with other figures: a restart changes them", name)
}

// Part takes the share of a feed that is gone, for another one like it. The places that it still has are its too.
func (a All) Part(s *account.Share) {
	of := a[s.Account().Name()]
	of.free = append(of.free, s)
}

// Room is what Share would have for feeds that come later. Nothing of it is taken from the accounts.
type Room map[string]*room

type room struct {
	figures figures
	given   int
	free    []int // connections of each share that is free
}

// Without is the room once some shares have been parted with.
func (a All) Without(parting []*account.Share) Room {
	all := make(Room, len(a))
	for name, of := range a {
		r := &room{figures: of.figures, given: of.given}
		for _, s := range of.free {
			r.free = append(r.free, s.Limit())
		}
		all[name] = r
	}
	for _, s := range parting {
		r := all[s.Account().Name()]
		r.free = append(r.free, s.Limit())
	}
	return all
}

// Take says whether there is room for a share of the account that o describes, and takes it: nil, there was.
func (all Room) Take(connections int, o account.Options) error {
	r := all[o.Name]
	if r == nil {
		r = &room{figures: figuresOf(o)}
		all[o.Name] = r
	}
	if r.figures != figuresOf(o) {
		return errOther(o.Name)
	}
	if i := slices.Index(r.free, connections); i >= 0 {
		r.free = slices.Delete(r.free, i, i+1)
		return nil
	}
	if connections > o.Connections-r.given {
		return fmt.Errorf("its account %s has no %d connections to give away: feeds that went may still be counted until a restart", o.Name, connections)
	}
	r.given += connections
	return nil
}
