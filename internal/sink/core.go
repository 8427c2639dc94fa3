package sink

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/cause"
	"feedmux/internal/notices"
	"feedmux/internal/sink/link"
	"feedmux/internal/sink/tap"
	"feedmux/internal/subject"
	"feedmux/pool"
)

// Headers says which headers an event carries.
type Headers string

const (
	HeadersNone    Headers = "none"
	HeadersMinimal Headers = "minimal" // what the mode of delivery needs: in core, nothing
	HeadersFull    Headers = "full"    // topic, slot, life, number and time of arrival
)

// Options say how a Core reaches NATS. It keeps them and changes nothing in them.
type Options struct {
	URL     string        // servers, separated by commas; may hold credentials: never logged. "": Connect says where
	Name    string        // how the NATS server lists the connection
	Connect []nats.Option // credentials, TLS, or an embedded server's
	Login   link.Login    // says both where they are not known before; nil: they are
	Buffer  int64         // bytes of events that may wait for NATS
	Headers Headers
	Drain   time.Duration // how long Run goes on at its end with what still waits; 0: 5 s
	Start   uint64        // random for this start: a part of each gap's id
	Log     *slog.Logger
}

// Core publishes events and notices at most once. Make one with NewCore, a Sink for each feed with Feed, then Run it.
type Core struct {
	opts    Options
	log     *slog.Logger
	buffer  *buffer
	notices *notices.Queue
	link    *link.Link
	tap     tap.Tap

	confirmEvery time.Duration // so far a delivery gap reaches back, if the server answers at once
	sayEvery     time.Duration // between two looks at what was lost; tests change it

	handed atomic.Int64 // when the oldest event was received that was handed over and is not confirmed; Unix nanoseconds, or 0
	left   atomic.Int64 // the same of those that were left behind at the end

	mu    sync.Mutex
	feeds []*feed
}

// NewCore makes a Core. It connects to nothing before Run.
func NewCore(o Options) *Core {
	if o.Drain == 0 {
		o.Drain = 5 * time.Second
	}
	if o.Login == nil {
		o.Login = func() (string, []nats.Option, error) { return o.URL, o.Connect, nil }
	}
	return &Core{
		opts:    o,
		log:     o.Log,
		buffer:  newBuffer(o.Buffer),
		notices: notices.New(),
		link:    link.New(o.Log),

		confirmEvery: time.Second, sayEvery: 10 * time.Second,
	}
}

// Tap is where events can be looked at as they are handed to NATS.
func (c *Core) Tap() *tap.Tap { return &c.tap }

// Feed makes the sink of one feed. There is one of each name at a time. The sink has a method Taker, too, which gives a
// topic.Taker: a feed whose upstream keeps its events uses that instead of Batches.
func (c *Core) Feed(name string) pool.Sink {
	f := &feed{
		core: c, name: name, said: make(map[Reason]uint64),
		dropped: make(map[Reason]*atomic.Uint64), gaps: make(map[cause.Cause]*atomic.Uint64),
	}
	for _, r := range Reasons() {
		f.dropped[r] = new(atomic.Uint64)
	}
	for _, c := range []cause.Cause{cause.NATSBroke, cause.NATSOverflow} {
		f.gaps[c] = new(atomic.Uint64)
	}
	f.taker = newTaker(f)
	c.buffer.addFeed(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feeds = append(c.feeds, f)
	return f
}

// Forget ends the sink of the feed of this name, which hands over nothing any more. What waits of it is published.
func (c *Core) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.feeds, func(f *feed) bool { return f.name == name }); i >= 0 {
		c.buffer.removeFeed(c.feeds[i])
		c.feeds = slices.Delete(c.feeds, i, i+1)
	}
}

// feed is the pool.Sink of one feed.
type feed struct {
	core      *Core
	name      string
	taker     *taker
	said      map[Reason]uint64         // drops that were logged; owned by the publisher
	saidAt    atomic.Pointer[time.Time] // when the last was; nil: none was
	told      uint64                    // how many losses without a gap were announced; owned by the publisher
	published atomic.Uint64
	dropped   map[Reason]*atomic.Uint64 // every reason is there from the start
	gaps      map[cause.Cause]*atomic.Uint64

	// Guarded by the buffer's lock.
	used       int64     // bytes in the buffer
	leaves     bool      // it goes once nothing of it is there
	overflow   []*mark   // topics of which events found no room, and that was not announced yet
	overflowAt time.Time // when the last of them came
}

// Topic makes the topic's Mark.
func (f *feed) Topic(t *pool.Topic) { t.Mark = &mark{feed: f, topic: t} }

// Batch makes what one reader gathers its events in.
func (f *feed) Batch() pool.Batch { return newBatch(f, f.core.buffer.spareChunk()) }

// Notice queues n, or merges it into those that wait. When too many do, the oldest is dropped and counted.
func (f *feed) Notice(to string, n pool.Notice) {
	c := f.core
	if len(to) > subject.MaxLength {
		c.notices.Count(false)
		return
	}
	c.notices.Add(to, n)
	c.buffer.kick()
}

// Reason says why an event was dropped.
type Reason string

const (
	BufferFull  Reason = "buffer_full"  // NATS was slower than the events, or away
	TooLarge    Reason = "too_large"    // longer than the NATS server takes
	BadSubject  Reason = "bad_subject"  // no subject that may be published
	NATSRefused Reason = "nats_refused" // the NATS server takes no headers
	NATSBroke   Reason = "nats_broke"   // the connection to NATS broke while it was written
	NATSBreaks  Reason = "nats_breaks"  // one connection to NATS after another broke over it
	Drain       Reason = "drain"        // it came, or still waited, when the daemon ended
)

// Reasons lists every Reason: the values of the metric label.
func Reasons() []Reason {
	return []Reason{BufferFull, TooLarge, BadSubject, NATSRefused, NATSBroke, NATSBreaks, Drain}
}

// Stats is what a Core knows of itself at one moment. Counters only grow.
type Stats struct {
	link.Stats
	Buffer      int64         `json:"buffer"` // bytes that wait
	Oldest      time.Duration `json:"-"`      // how long the oldest event has waited, if any does
	Unconfirmed time.Duration `json:"-"`      // how long ago the oldest event came that NATS was given and has not confirmed
	Feeds       []FeedStats   `json:"feeds"`  // in the order in which they were made
	Notices     notices.Stats `json:"notices"`
}

// FeedStats is what became of one feed's events.
type FeedStats struct {
	Feed      string                 `json:"feed"`
	Published uint64                 `json:"published"` // handed to the NATS client
	Dropped   map[Reason]uint64      `json:"dropped"`   // holds every Reason
	DroppedAt *time.Time             `json:"-"`         // when that was last seen, to 10 s; nil: never
	Gaps      map[cause.Cause]uint64 `json:"gaps"`      // at delivery: one for each topic and time
}

// Stats may be called by any goroutine at any time. It never waits for NATS.
func (c *Core) Stats() Stats {
	s := Stats{Stats: c.link.Stats()}
	var since time.Time
	s.Buffer, since = c.buffer.waiting()
	if !since.IsZero() {
		s.Oldest = time.Since(since)
	}
	if n := c.handed.Load(); n != 0 {
		s.Unconfirmed = time.Since(time.Unix(0, n))
	}
	s.Notices = c.notices.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.feeds {
		dropped := make(map[Reason]uint64, len(f.dropped))
		for r, n := range f.dropped {
			dropped[r] = n.Load()
		}
		gaps := make(map[cause.Cause]uint64, len(f.gaps))
		for c, n := range f.gaps {
			gaps[c] = n.Load()
		}
		s.Feeds = append(s.Feeds, FeedStats{
			Feed: f.name, Published: f.published.Load(), Dropped: dropped, DroppedAt: f.saidAt.Load(), Gaps: gaps,
		})
	}
	return s
}
