package conn

import (
	"context"
	"slices"
	"sync"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/socket"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// life is one socket in a slot. Its reader owns the read side; the Conn owns everything else.
type life struct {
	number int
	slot   shard.Slot
	sock   *socket.Conn
	batch  topic.Batch
	tally  *tally.Counter
	inbox  chan<- any    // the Conn's
	over   chan struct{} // closed by the Conn when the life has ended

	mu      sync.Mutex // Message comes from the reader, Change and Ping from the Conn
	session protocol.Session
	routes  map[shard.Topic]*route // who gets a topic's events
	joint   *joint                 // hand-over; nil: events go straight on
	newer   bool                   // with a joint: this is the new life

	// Owned by the reader.
	locked bool // it has mu: from the first message that is here until it must wait for something
	events int  // since then
	newest topic.Event
	out    protocol.Out
	first  []*topic.Topic // whose first event of this life came

	// Owned by the Conn.
	seat      *account.Seat
	asks      *asks.Asks
	pings     asks.Pings
	renewals  int                        // Order.Renewals when it began
	retireAt  time.Time                  // when it is to be handed over because of its age; zero: never
	liveSince time.Time                  // zero before the first application frame
	move      cause.Cause                // why it must be handed over, if the upstream said so
	moveBy    time.Time                  // and when the upstream ends it; zero: nobody knows
	giveUpAt  time.Time                  // hand-over: when the new life should have been ready
	readyAt   time.Time                  // hand-over: when the new life was ready; zero: it is not
	ceded     map[*topic.Topic]bool      // hand-over: what only the new life has
	heirs     map[*topic.Topic]time.Time // hand-over: what the new life had confirmed of the old one's when it took over, and since when
	wrote     time.Time                  // when anything was last written, but for what the socket writes itself
	ending    cause.Cause                // why we ended it, if it was us
	endErr    error                      // the same for people
	mute      bool                       // a write failed: the socket sees to it that the reader ends within seconds, and knows why
}

// route leads from a topic's name in a frame to the topic. It is guarded by its life's lock.
type route struct {
	topic *topic.Topic
	heard bool // an event came in this life, since the upstream last failed to say yes
}

// heard is what a reader tells its conn beside the events. It is the conn's to keep.
type heard struct {
	life    *life
	at      time.Time
	live    bool
	pong    bool
	move    bool
	settled []protocol.Settlement
	frames  []protocol.Frame
	first   []*topic.Topic // whose first event of this life came
}

// ended is the last news of a life.
type ended struct {
	life      *life
	err       error
	lastFrame time.Time
}

// read carries every message to the session and its events to the publisher, until the socket ends. The Conn receives
// from its inbox until ended has come, so that no send here waits for ever.
//
// Messages come in bursts: one read from the network brings many. What can be done once for a burst is done in rest,
// before the reader waits for anything: then others may have the session, and the publisher may have the events.
func (l *life) read() {
	l.sock.OnWait(l.rest)
	for {
		m, err := l.sock.Read()
		if err == nil {
			err = l.take(m)
		}
		if err != nil {
			l.tell(ended{l, err, l.sock.LastFrame()})
			return
		}
	}
}

// take carries one message on. An error ends the life.
func (l *life) take(m socket.Message) error {
	if m.TooBig {
		l.tally.Skip("too_big")
		return nil
	}
	if !l.locked {
		l.mu.Lock()
		l.locked = true
	}
	out := &l.out
	out.Reset()
	l.first = l.first[:0]
	err := l.session.Message(protocolKind(m.Kind), m.Data, out)
	for i := range out.Events {
		if !l.eventLocked(&out.Events[i], m.Received) && err == nil {
			err = errTooFarAhead
		}
	}
	if out.Skipped != "" {
		l.tally.Skip(out.Skipped)
	}
	if out.Live || out.Pong || out.Move || len(out.Settled) > 0 || len(out.Frames) > 0 || len(l.first) > 0 {
		l.tell(heard{
			life: l, at: m.Received, live: out.Live, pong: out.Pong, move: out.Move,
			settled: slices.Clone(out.Settled), frames: slices.Clone(out.Frames), first: slices.Clone(l.first),
		})
	}
	if err != nil {
		l.sock.Abort()
		return &cause.Error{Cause: cause.ProtocolError, Err: err}
	}
	return nil
}

// leaveWith ends the life in the upstream's good manner when ctx ends, even while the Conn is held up in a write.
func (l *life) leaveWith(ctx context.Context) {
	select {
	case <-ctx.Done():
		l.sock.Leave(1001, "")
	case <-l.over:
	}
}

// rest ends a burst.
func (l *life) rest() {
	if !l.locked {
		return
	}
	l.locked = false
	l.mu.Unlock()
	if l.events > 0 {
		l.tally.Add(l.events, l.newest.Received)
		l.events = 0
		l.batch.Flush()
	}
}

// tell gives news to the Conn, which may be waiting for the session just now.
func (l *life) tell(news any) {
	l.rest()
	l.inbox <- news
}

// eventLocked carries one event on. It says false if there is no room to hold it back, as a hand-over asks for.
func (l *life) eventLocked(e *protocol.Event, received time.Time) bool {
	r, ok := l.routes[shard.Topic(e.Topic)] // the compiler makes no string for a look-up
	if !ok || !r.topic.CarriedBy(l.slot) {
		l.tally.Skip("unwanted_topic")
		return true
	}
	if !r.heard {
		r.heard = true
		l.first = append(l.first, r.topic)
	}
	if l.joint != nil {
		if on, room := l.joinLocked(r.topic, e, received); !on {
			return room
		}
	}
	l.events++
	l.newest = l.event(r.topic, e.ID, e.Payload, received) // in memory that is there: else each would be allocated
	l.batch.Add(&l.newest)
	return true
}

// event makes an event of the life's, and counts it in its topic.
func (l *life) event(t *topic.Topic, id, payload []byte, received time.Time) topic.Event {
	return topic.Event{
		Topic: t, ID: id, Payload: payload,
		Slot: int(l.slot), Life: l.number, Seq: t.Count(received), Received: received,
	}
}

// Change lets the session ask for add and end drop, and makes the routes agree.
func (l *life) Change(add []*topic.Topic, drop []shard.Topic, out *protocol.Out) {
	names := make([]shard.Topic, len(add))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range drop {
		delete(l.routes, name)
	}
	for i, t := range add {
		names[i] = t.Name
		if l.routes[t.Name] == nil {
			l.routes[t.Name] = &route{topic: t}
		}
	}
	l.session.Change(names, drop, out)
}

// Rename lets a topic that was removed and wanted again take the place of the one before.
func (l *life) Rename(t *topic.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.routes[t.Name]; r != nil {
		r.topic = t
	}
}

// Listen lets the next event of a topic be told like its first.
func (l *life) Listen(name shard.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.routes[name]; r != nil {
		r.heard = false
	}
}

// Forget ends a topic's route: the upstream will send nothing for it.
func (l *life) Forget(name shard.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.routes, name)
}

// Ping lets the session say its ping.
func (l *life) Ping(out *protocol.Out) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.Ping(out)
}

func (l *life) renew(e protocol.Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.Renew(e)
}

func protocolKind(k socket.Kind) protocol.Kind {
	if k == socket.Binary {
		return protocol.Binary
	}
	return protocol.Text
}

func socketKind(k protocol.Kind) socket.Kind {
	if k == protocol.Binary {
		return socket.Binary
	}
	return socket.Text
}
