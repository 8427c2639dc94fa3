package twitch

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"feedmux/internal/sim/upstream"
)

// PubSub is Twitch's PubSub, simulated. Its methods may be called by any goroutine. A later call of Serve goes on
// counting events where the one before stopped.
type PubSub struct {
	*upstream.Server
	library library // immutable

	// Guarded by the server's lock.
	o        PubSubOptions // with defaults
	topics   map[string]*topic
	listened []*topic // those with listeners, by name: so that a choice by chance does not depend on who came first
	events   *rand.Rand
	caps     map[int]int // by connection, some of them yet to come; forgotten when it ends
	sent     sentRecord
	scratch  []byte
}

// NewPubSub returns a simulator that nothing listens for yet. In a synctest bubble it must be made inside the bubble.
func NewPubSub(o PubSubOptions) *PubSub {
	p := &PubSub{
		library: newLibrary(),
		o:       o,
		topics:  map[string]*topic{},
		caps:    map[int]int{},
		events:  rand.New(rand.NewPCG(o.Seed, 1)),
	}
	p.Server = upstream.NewServer(o.Seed, o.Log, p)
	p.Change(func(*PubSubOptions) {})
	return p
}

// Change changes rules and faults while the simulator runs. They hold for what happens from now on; a timer that runs
// already keeps its old length. Seed and Log stay what they were. change is called with the simulator's lock held.
func (p *PubSub) Change(change func(*PubSubOptions)) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	change(&p.o)
	p.o = p.o.WithDefaults()
	p.ConfigureLocked(p.o.Options, p.plansLocked())
}

// JoinLocked is for the server.
func (p *PubSub) JoinLocked(c *upstream.Client) upstream.Session { return newClient(p, c) }

// topic is one stream of events. Guarded by the server's lock but for what is immutable.
type topic struct {
	name      string      // immutable
	quoted    string      // immutable: as it stands between quotes in JSON
	templates []*template // immutable

	happened  uint64    // the number of the newest event
	listeners []*client // by id
	runs      []Run
}

func (p *PubSub) topicLocked(name string) *topic {
	t := p.topics[name]
	if t == nil {
		quoted := string(compactJSON(name))
		t = &topic{name: name, quoted: quoted[1 : len(quoted)-1], templates: p.library.of(name)}
		p.topics[name] = t
	}
	return t
}

func byName(t *topic, name string) int { return strings.Compare(t.name, name) }

func byID(c *client, id int) int { return cmp.Compare(c.ID, id) }

func (p *PubSub) listenLocked(c *client, name string) {
	if c.topics[name] != nil {
		return
	}
	t := p.topicLocked(name)
	c.topics[name] = t
	c.version++
	if len(t.listeners) == 0 {
		i, _ := slices.BinarySearchFunc(p.listened, name, byName)
		p.listened = slices.Insert(p.listened, i, t)
	}
	i, _ := slices.BinarySearchFunc(t.listeners, c.ID, byID)
	t.listeners = slices.Insert(t.listeners, i, c)
	c.rec.Listens = upstream.AppendBounded(c.rec.Listens, Listen{Topic: name, From: time.Now()})
	c.rec.MaxTopics = max(c.rec.MaxTopics, len(c.topics))
}

func (p *PubSub) unlistenLocked(c *client, name string) {
	t := c.topics[name]
	if t == nil {
		return
	}
	delete(c.topics, name)
	c.version++
	c.rec.unlistened(name)
	i, _ := slices.BinarySearchFunc(t.listeners, c.ID, byID)
	t.listeners = slices.Delete(t.listeners, i, i+1)
	if len(t.listeners) == 0 {
		i, _ := slices.BinarySearchFunc(p.listened, name, byName)
		p.listened = slices.Delete(p.listened, i, i+1)
	}
}
