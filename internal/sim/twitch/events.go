package twitch

import (
	"maps"
	"slices"
	"time"

	"feedmux/internal/sim/websocket"
)

// envelope is what stands around topic and body in a MESSAGE.
type envelope struct{ head, middle, tail string }

// realEnvelope is as Twitch writes it.
var realEnvelope = envelope{`{"type":"MESSAGE","data":{"topic":"`, `","message":"`, `"}}`}

func (p *PubSub) envelopeLocked() envelope {
	e := realEnvelope
	if p.o.Spaces {
		e = envelope{`{ "type": "MESSAGE", "data": { "topic": "`, `", "message": "`, `"} }`}
	}
	if p.o.Newline {
		e.tail += "\n"
	}
	return e
}

// appendFrame appends the frame's message behind the room for its header, and says where in dst the event's number is.
func (e envelope) appendFrame(dst []byte, t *topic, body *template, n uint64, now time.Time) (out []byte, from, to int) {
	dst = append(dst, make([]byte, websocket.HeaderRoom)...)
	dst = append(dst, e.head...)
	dst = append(dst, t.quoted...)
	dst = append(dst, e.middle...)
	dst, from, to = body.append(dst, n, now)
	return append(dst, e.tail...), from, to
}

// EventLocked lets one event happen on a topic that somebody listens to, and sends it to all who do: for the server. It
// draws as often from the seed whatever it does, so that the n-th event depends on nothing but the topics that are
// listened to then.
func (p *PubSub) EventLocked(now time.Time) {
	which, what := p.events.Uint64(), p.events.Uint64()
	twice, unknown := p.events.Float64() < p.o.Duplicate, p.events.Float64() < p.o.Unknown
	if len(p.listened) == 0 {
		return
	}
	t := p.listened[which%uint64(len(p.listened))]
	body := t.templates[what%uint64(len(t.templates))]
	t.happened++
	n := t.happened
	e := p.envelopeLocked()
	p.scratch, _, _ = e.appendFrame(p.scratch[:0], t, body, n, now)
	frame := websocket.TextInPlace(p.scratch)
	inner := p.scratch[websocket.HeaderRoom+len(e.head)+len(t.quoted)+len(e.middle) : len(p.scratch)-len(e.tail)]

	for i := len(t.listeners) - 1; i >= 0; i-- { // backward: one that is cut off for its backlog leaves the list
		c := t.listeners[i]
		sentLocked := c.sentEventLocked(t, n, inner)
		if !c.DeliverLocked(frame, sentLocked) {
			continue
		}
		if twice {
			p.CountLocked(FaultDuplicate)
			c.DeliverLocked(frame, sentLocked)
		}
		if unknown {
			p.CountLocked(FaultUnknown)
			c.sayLocked(0, plain{"NEWS_FROM_THE_FUTURE"})
		}
	}
}

// flood is a batch of frames that is sent again and again with other numbers: so the simulator costs little beside what
// it feeds. Owned by the client's writer.
type flood struct {
	version int // of the client's topics
	built   time.Time
	topics  []*topic
	rounds  int      // events of each topic
	base    []uint64 // for each topic, the number before its first event in the batch
	buf     []byte
	spots   []spot // one for each frame, in rounds: first all topics' first event, then all their second
}

type spot struct {
	number, numberEnd int
	end               int // of the frame
}

const (
	floodBytes  = 128 << 10              // about, of one batch
	floodFrame  = 300                    // bytes, about
	floodMaxAge = 100 * time.Millisecond // so old may its times become
)

// Flood is for the server.
func (c *client) Flood() (batch []byte, sentLocked func(n int)) {
	f, now := &c.flood, time.Now()
	c.p.Mu.Lock()
	rebuild := f.version != c.version || now.Sub(f.built) > floodMaxAge
	if rebuild {
		f.version, f.built = c.version, now
		f.topics = slices.AppendSeq(f.topics[:0], maps.Values(c.topics))
		f.rounds = max(1, floodBytes/floodFrame/max(1, len(f.topics)))
	}
	f.base = f.base[:0]
	for _, t := range f.topics {
		f.base = append(f.base, t.happened)
		t.happened += uint64(f.rounds)
	}
	e := c.p.envelopeLocked()
	c.p.Mu.Unlock()

	if rebuild || !f.renumber() {
		f.build(now, e)
	}
	return f.buf, c.floodedLocked
}

// floodedLocked notes that the first n bytes of the batch were written.
func (c *client) floodedLocked(n int) {
	f := &c.flood
	for i, t := range f.topics {
		sent := 0
		for sent < f.rounds && f.spots[sent*len(f.topics)+i].end <= n {
			sent++
		}
		if sent > 0 {
			c.sentLocked(t, f.base[i]+1, f.base[i]+uint64(sent))
		}
	}
}

// renumber writes new numbers over the old; false: one has more digits than before.
func (f *flood) renumber() bool {
	i := 0
	for round := range f.rounds {
		for k := range f.topics {
			sp := &f.spots[i]
			if !overwriteNumber(f.buf[sp.number:sp.numberEnd], f.base[k]+uint64(round)+1) {
				return false
			}
			i++
		}
	}
	return true
}

func (f *flood) build(now time.Time, e envelope) {
	f.buf, f.spots = f.buf[:0], f.spots[:0]
	var frame []byte
	for round := range f.rounds {
		for k, t := range f.topics {
			var from, to int
			body := t.templates[(round+k)%len(t.templates)]
			frame, from, to = e.appendFrame(frame[:0], t, body, f.base[k]+uint64(round)+1, now)
			whole := websocket.TextInPlace(frame)
			shift := len(f.buf) - (len(frame) - len(whole))
			f.buf = append(f.buf, whole...)
			f.spots = append(f.spots, spot{from + shift, to + shift, len(f.buf)})
		}
	}
}
