package conn

import (
	"context"
	"slices"
	"sync"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/socket"
	"feedmux/shard"
)

// life is one socket in a slot. Its reader owns the read side; the Conn owns everything else.
type life struct {
	number int
	slot   shard.Slot
	sock   *socket.Conn
	batch  Batch
	tally  *tally
	inbox  chan<- any    // the Conn's
	over   chan struct{} // closed by the Conn when the life has ended

	mu      sync.Mutex // Message comes from the reader, Change and Ping from the Conn
	session protocol.Session
	routes  map[shard.Topic]*route // who gets a topic's events

	// Owned by the reader.
	locked bool // it has mu: from the first message that is here until it must wait for something
	events int  // since then
	event  Event
	out    protocol.Out
	first  []*Topic // whose first event of this life came
}

// route leads from a topic's name in a frame to the topic. It is guarded by its life's lock.
type route struct {
	topic *Topic
	heard bool // an event came in this life
}

// heard is what a reader tells its conn beside the events. It is the conn's to keep.
type heard struct {
	at      time.Time
	live    bool
	pong    bool
	move    bool
	settled []protocol.Settlement
	frames  []protocol.Frame
	first   []*Topic // whose first event of this life came
}

// ended is the last news of a life.
type ended struct {
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
			l.tell(ended{err, l.sock.LastFrame()})
			return
		}
	}
}

// take carries one message on. An error ends the life.
func (l *life) take(m socket.Message) error {
	if m.TooBig {
		l.tally.skip("too_big")
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
		l.publishLocked(&out.Events[i], m.Received)
	}
	if out.Skipped != "" {
		l.tally.skip(out.Skipped)
	}
	if out.Live || out.Pong || out.Move || len(out.Settled) > 0 || len(out.Frames) > 0 || len(l.first) > 0 {
		l.tell(heard{
			at: m.Received, live: out.Live, pong: out.Pong, move: out.Move,
			settled: slices.Clone(out.Settled), frames: slices.Clone(out.Frames), first: slices.Clone(l.first),
		})
	}
	if err != nil {
		l.sock.Abort()
		return &sessionError{err}
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
		l.tally.add(l.events, l.event.Received)
		l.events = 0
		l.batch.Flush()
	}
}

// tell gives news to the Conn, which may be waiting for the session just now.
func (l *life) tell(news any) {
	l.rest()
	l.inbox <- news
}

// publishLocked hands one event to the batch.
func (l *life) publishLocked(e *protocol.Event, received time.Time) {
	r, ok := l.routes[shard.Topic(e.Topic)] // the compiler makes no string for a look-up
	if !ok {
		l.tally.skip("unwanted_topic")
		return
	}
	if !r.heard {
		r.heard = true
		l.first = append(l.first, r.topic)
	}
	r.topic.last.Store(received.UnixNano())
	l.events++
	l.event = Event{ // in memory that is there already: through an interface it would be allocated each time
		Subject: r.topic.Subject, Topic: e.Topic, ID: e.ID, Payload: e.Payload,
		Slot: int(l.slot), Life: l.number, Seq: r.topic.events.Add(1), Received: received,
	}
	l.batch.Add(&l.event)
}

// change lets the session ask for add and end drop, and makes the routes agree.
func (l *life) change(add []*Topic, drop []shard.Topic, out *protocol.Out) {
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

// rename lets a topic that was removed and wanted again take the place of the one before.
func (l *life) rename(t *Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.routes[t.Name]; r != nil {
		r.topic = t
	}
}

// forget ends a topic's route: the upstream will send nothing for it.
func (l *life) forget(name shard.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.routes, name)
}

func (l *life) ping(out *protocol.Out) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.Ping(out)
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
