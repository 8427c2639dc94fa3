package kite

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
)

// Ticker is the ticker of Kite Connect, simulated. Its methods may be called by any goroutine. A later call of Serve goes
// on where the one before stopped.
type Ticker struct {
	*upstream.Server

	// Guarded by the server's lock.
	o           Options // with defaults
	door        door
	instruments map[uint32]*instrument
	subscribed  []*instrument // those with subscribers, by token: so that chance does not depend on who came first
	events      *rand.Rand
	owed        float64   // ticks that are due and did not happen yet, of less than a batch
	oddities    int       // ticks that were chosen to be odd
	gathering   []*client // those with packets that leave at the end of this batch
	caps        map[int]int
	book        orderBook
	sent        sentRecord
	scratch     []byte
}

// NewTicker returns a simulator that nothing listens for yet. In a synctest bubble it must be made inside the bubble.
func NewTicker(o Options) *Ticker {
	p := &Ticker{
		o:           o,
		door:        door{known: map[string]time.Time{}},
		instruments: map[uint32]*instrument{},
		caps:        map[int]int{},
		events:      rand.New(rand.NewPCG(o.Seed, 1)),
		book:        orderBook{rand: rand.New(rand.NewPCG(o.Seed, 3))},
	}
	p.Server = upstream.NewServer(o.Seed, o.Log, p)
	p.Change(func(*Options) {})
	p.SetToken(o.Token)
	return p
}

// Change changes rules and faults while the simulator runs. They hold for what happens from now on; a timer that runs
// already keeps its old length. Seed and Log stay what they were. change is called with the simulator's lock held.
func (p *Ticker) Change(change func(*Options)) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	change(&p.o)
	p.o = p.o.WithDefaults()
	p.ConfigureLocked(p.o.server(), p.plansLocked())
}

// JoinLocked is for the server.
func (p *Ticker) JoinLocked(c *upstream.Client) upstream.Session { return newClient(p, c) }

func byToken(i *instrument, token uint32) int { return cmp.Compare(i.token, token) }

func byID(s subscriber, id int) int { return cmp.Compare(s.c.ID, id) }

// subscribeLocked returns the instrument, or nil where the client is subscribed to it already.
func (p *Ticker) subscribeLocked(c *client, token uint32) *instrument {
	if c.instruments[token] != nil {
		return nil
	}
	in := p.instruments[token]
	if in == nil {
		in = newInstrument(token, p.o.Seed, time.Now())
		p.instruments[token] = in
	}
	c.instruments[token] = in
	if len(in.subscribers) == 0 {
		i, _ := slices.BinarySearchFunc(p.subscribed, token, byToken)
		p.subscribed = slices.Insert(p.subscribed, i, in)
	}
	i, _ := slices.BinarySearchFunc(in.subscribers, c.ID, byID)
	in.subscribers = slices.Insert(in.subscribers, i, subscriber{c: c, mode: ModeQuote})
	c.rec.Listens = upstream.AppendBounded(c.rec.Listens, Listen{Token: token, From: time.Now()})
	c.rec.MaxInstruments = max(c.rec.MaxInstruments, len(c.instruments))
	return in
}

// dropLocked ends a subscription, if there is one.
func (p *Ticker) dropLocked(c *client, token uint32) {
	in := c.instruments[token]
	if in == nil {
		return
	}
	delete(c.instruments, token)
	i, _ := slices.BinarySearchFunc(in.subscribers, c.ID, byID)
	in.subscribers = slices.Delete(in.subscribers, i, i+1)
	if len(in.subscribers) == 0 {
		i, _ := slices.BinarySearchFunc(p.subscribed, token, byToken)
		p.subscribed = slices.Delete(p.subscribed, i, i+1)
	}
}

// subscriberLocked returns the client's part in an instrument that it is subscribed to, until the next change.
func (in *instrument) subscriberLocked(c *client) *subscriber {
	i, _ := slices.BinarySearchFunc(in.subscribers, c.ID, byID)
	return &in.subscribers[i]
}
