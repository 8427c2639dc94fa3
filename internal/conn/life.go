package conn

import (
	"sync"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/socket"
	"feedmux/shard"
)

// life is one socket in a slot. Its reader owns the read side; the conn owns everything else.
type life struct {
	number int
	slot   shard.Slot
	sock   *socket.Conn
	sink   Publisher
	tally  *tally
	inbox  chan<- any // the conn's

	mu      sync.Mutex // Message comes from the reader, Change and Ping from the conn
	session protocol.Session
	routes  map[shard.Topic]*route // who gets a topic's events
}

// route leads from a topic's name in a frame to the topic. It is guarded by its life's lock.
type route struct {
	topic *Topic
	heard bool // an event came in this life
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
	first   []shard.Topic // whose first event of this life came
}

// ended is the last news of a life.
type ended struct {
	life *life
	err  error
}

// read carries every message to the session and its events to the sink, until the socket ends. The conn receives from
// its inbox until ended has come, so that no send here waits for ever.
func (l *life) read() {
	var out protocol.Out
	var event Event // reused: what goes through an interface would otherwise be allocated each time
	var first []shard.Topic
	for {
		m, err := l.sock.Read()
		if err != nil {
			l.inbox <- ended{l, err}
			return
		}
		if m.TooBig {
			l.tally.skip("too_big")
			continue
		}
		out.Reset()
		first = first[:0]

		l.mu.Lock()
		failed := l.session.Message(protocolKind(m.Kind), m.Data, &out)
		for i := range out.Events {
			if name, isFirst := l.publishLocked(&out.Events[i], m.Received, &event); isFirst {
				first = append(first, name)
			}
		}
		l.mu.Unlock()

		if out.Skipped != "" {
			l.tally.skip(out.Skipped)
		}
		if out.Live || out.Pong || out.Move || len(out.Settled) > 0 || len(out.Frames) > 0 || len(first) > 0 {
			l.inbox <- heard{
				life: l, at: m.Received, live: out.Live, pong: out.Pong, move: out.Move,
				settled: append([]protocol.Settlement(nil), out.Settled...),
				frames:  append([]protocol.Frame(nil), out.Frames...),
				first:   append([]shard.Topic(nil), first...),
			}
		}
		if failed != nil {
			l.sock.Abort()
			l.inbox <- ended{l, &sessionError{failed}}
			return
		}
	}
}

// publishLocked hands one event to the sink, in the form of event. It reports the topic's name if this is the topic's
// first event in this life.
func (l *life) publishLocked(e *protocol.Event, received time.Time, event *Event) (name shard.Topic, first bool) {
	r, ok := l.routes[shard.Topic(e.Topic)] // the compiler makes no string for a look-up
	if !ok {
		l.tally.skip("unwanted_topic")
		return "", false
	}
	first, r.heard = !r.heard, true
	now := received.UnixNano()
	r.topic.last.Store(now)
	l.tally.event(now)
	// A sink that refuses an event counts it; the reader goes on.
	*event = Event{
		Subject: r.topic.Subject, Topic: e.Topic, ID: e.ID, Payload: e.Payload,
		Slot: int(l.slot), Life: l.number, Seq: r.topic.events.Add(1), Received: received,
	}
	_ = l.sink.Publish(event)
	return r.topic.Name, first
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
