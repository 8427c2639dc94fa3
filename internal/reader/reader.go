package reader

import (
	"context"
	"slices"
	"sync"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/overlap"
	"feedmux/internal/protocol"
	"feedmux/internal/socket"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Options are what a Reader is made of. Everything without a note is required.
type Options struct {
	Number    int // in its slot
	Slot      shard.Slot
	Socket    *socket.Conn
	Session   protocol.Session
	Publisher topic.Publisher
	Tally     *tally.Counter

	// News gets a Heard or an Ended. Its receiver receives until Ended has come.
	News chan<- any

	Asides map[shard.Topic]*topic.Topic // what events may name though nobody wants it; must not change
	Branch topic.Branch                 // nil: no event of this protocol has Values
	Stream Stream                       // takes every event; nil: they are the Publisher's
}

// Stream takes the events of a feed whose upstream can be asked for what was missed. It knows by itself where they go, and
// copies what it needs of them before it returns.
type Stream interface {
	Heard(events []protocol.Event, received time.Time)
}

// Reader is the read side of one life. Any goroutine may call its methods, but for Read.
type Reader struct {
	Options
	over chan struct{} // closed by Over

	mu     sync.Mutex             // guards the Session, too
	routes map[shard.Topic]*route // who gets a topic's events
	joint  *Joint                 // hand-over; nil: events go straight on
	newer  bool                   // with a joint: this is the new life
	forms  topic.Forms

	// Owned by the reader.
	batch  topic.Batch
	locked bool // it has mu: from the first message that is here until it must wait for something
	events int  // since then
	newest topic.Event
	out    protocol.Out
	first  []*topic.Topic // whose first event of this life came
}

// New makes the Reader of a socket that is open. Nothing is read before Read.
func New(o Options) *Reader {
	return &Reader{
		Options: o, over: make(chan struct{}), batch: o.Publisher.Batch(),
		routes: make(map[shard.Topic]*route),
	}
}

// Joint is what the two lives of a hand-over share.
type Joint = overlap.Overlap[shard.Topic]

// route leads from a topic's name in a frame to the topic. It is guarded by its life's lock.
type route struct {
	topic *topic.Topic
	heard bool // an event came in this life, since the upstream last failed to say yes
}

// Heard is what a life tells beside the events. It is the receiver's to keep.
type Heard struct {
	Reader  *Reader
	At      time.Time
	Live    bool
	Pong    bool
	Move    bool
	Full    bool
	Settled []protocol.Settlement
	Frames  []protocol.Frame
	Words   []protocol.Words
	First   []*topic.Topic // whose first event of this life came
}

// Ended is the last news of a life.
type Ended struct {
	Reader    *Reader
	Err       error
	LastFrame time.Time
}

// Read carries every message to the session and its events to the publisher, until the socket ends. It is called once.
//
// Messages come in bursts: one read from the network brings many. What can be done once for a burst is done in rest,
// before the reader waits for anything: then others may have the session, and the publisher may have the events.
func (r *Reader) Read() {
	r.Socket.OnWait(r.rest)
	for {
		m, err := r.Socket.Read()
		if err == nil {
			err = r.take(m)
		}
		if err != nil {
			r.tell(Ended{r, err, r.Socket.LastFrame()})
			return
		}
	}
}

// take carries one message on. An error ends the life.
func (r *Reader) take(m socket.Message) error {
	if m.TooBig {
		r.Tally.Skip("too_big")
		return nil
	}
	if !r.locked {
		r.mu.Lock()
		r.locked = true
	}
	out := &r.out
	out.Reset()
	r.first = r.first[:0]
	err := r.Session.Message(protocolKind(m.Kind), m.Data, out)
	if r.Stream != nil && len(out.Events) > 0 {
		r.Stream.Heard(out.Events, m.Received)
		out.Events = out.Events[:0]
	}
	for i := range out.Events {
		if !r.eventLocked(&out.Events[i], m.Received) && err == nil {
			err = errTooFarAhead
		}
	}
	for _, o := range out.Oddities {
		r.Tally.Odd(o.Kind, o.Topic)
	}
	for _, s := range out.Skipped {
		for range s.N {
			r.Tally.Skip(s.Reason)
		}
	}
	if out.Live || out.Pong || out.Move || out.Full || len(out.Settled) > 0 || len(out.Frames) > 0 || len(out.Words) > 0 ||
		len(r.first) > 0 {
		r.tell(Heard{
			Reader: r, At: m.Received, Live: out.Live, Pong: out.Pong, Move: out.Move, Full: out.Full,
			Settled: slices.Clone(out.Settled), Frames: slices.Clone(out.Frames), Words: slices.Clone(out.Words),
			First: slices.Clone(r.first),
		})
	}
	if err != nil {
		r.Socket.Abort()
		return &cause.Error{Cause: cause.ProtocolError, Err: err}
	}
	return nil
}

// LeaveWith ends the life in the upstream's good manner when ctx ends, even while its owner is held up in a write. It
// returns then, or after Over.
func (r *Reader) LeaveWith(ctx context.Context) {
	select {
	case <-ctx.Done():
		r.Socket.Leave(1001, "")
	case <-r.over:
	}
}

// Over says that the life has ended and its news was received. It is called once.
func (r *Reader) Over() {
	close(r.over)
	r.Socket.Close()
}

// rest ends a burst.
func (r *Reader) rest() {
	if !r.locked {
		return
	}
	r.locked = false
	r.mu.Unlock()
	if r.events > 0 {
		r.Tally.Add(r.events, r.newest.Received)
		r.events = 0
		r.batch.Flush()
	}
}

// tell gives news to the owner, which may be waiting for the session just now.
func (r *Reader) tell(news any) {
	r.rest()
	r.News <- news
}

// eventLocked carries one event on. It says false if there is no room to hold it back, as a hand-over asks for.
func (r *Reader) eventLocked(e *protocol.Event, received time.Time) bool {
	t, aside := r.topicLocked(e)
	if t == nil || !t.CarriedBy(r.Slot) {
		r.Tally.Skip("unwanted_topic")
		return true
	}
	if r.joint != nil && !aside { // of asides the protocol itself lets each through once
		if on, room := r.joinLocked(t, e, received); !on {
			return room
		}
	}
	if e.Values != nil {
		var err error
		if t, err = r.forms.Of(t, e.Values, r.Branch); err != nil {
			r.Tally.Skip("bad_subject")
			return true
		}
	}
	r.events++
	r.newest = r.event(t, e.ID, e.Payload, received) // in memory that is there: else each would be allocated
	r.batch.Add(&r.newest)
	return true
}

// topicLocked is whose an event is; nil: nobody's. It may be no topic's, but an aside.
func (r *Reader) topicLocked(e *protocol.Event) (t *topic.Topic, aside bool) {
	to := r.routes[shard.Topic(e.Topic)] // the compiler makes no string for a look-up
	for i := 0; to == nil && i < len(e.Wider); i++ {
		to = r.routes[shard.Topic(e.Wider[i])]
	}
	if to == nil {
		return r.Asides[shard.Topic(e.Topic)], true
	}
	if !to.heard && to.topic.CarriedBy(r.Slot) {
		to.heard = true
		r.first = append(r.first, to.topic)
	}
	return to.topic, false
}

// event makes an event of the life's, and counts it in its topic.
func (r *Reader) event(t *topic.Topic, id, payload []byte, received time.Time) topic.Event {
	return topic.Event{
		Topic: t, ID: id, Payload: payload,
		Slot: int(r.Slot), Life: r.Number, Seq: t.Count(received), Received: received,
	}
}

// Write sends one message, or a ping of WebSocket's own.
func (r *Reader) Write(k protocol.Kind, payload []byte) error {
	switch k {
	case protocol.Ping:
		return r.Socket.Ping()
	case protocol.Binary:
		return r.Socket.Write(socket.Binary, payload)
	}
	return r.Socket.Write(socket.Text, payload)
}

func protocolKind(k socket.Kind) protocol.Kind {
	if k == socket.Binary {
		return protocol.Binary
	}
	return protocol.Text
}
