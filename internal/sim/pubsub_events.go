package sim

import (
	"context"
	"time"
)

// envelopeLocked returns what stands around topic and body in a MESSAGE.
func (s *PubSub) envelopeLocked() (head, middle, tail string) {
	head, middle, tail = envelopeHead, envelopeMiddle, envelopeTail
	if s.o.Spaces {
		head, middle, tail = `{ "type": "MESSAGE", "data": { "topic": "`, `", "message": "`, `"} }`
	}
	if s.o.Newline {
		tail += "\n"
	}
	return head, middle, tail
}

// emit lets events happen at the wanted rate, evenly: the n-th is due n/rate after Serve began or the rate was set.
func (s *PubSub) emit(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due, rate := time.Now(), 0.0
	for {
		s.mu.Lock()
		now := time.Now()
		every := time.Duration(float64(time.Second) / max(s.o.Rate, 1e-6))
		if s.o.Rate != rate {
			due, rate = now.Add(every), s.o.Rate
		}
		wait := time.Hour
		if rate > 0 && !s.o.Saturate {
			if now.Sub(due) > time.Second { // the machine slept: what was missed is not made up for
				due = now
			}
			for ; !due.After(now); due = due.Add(every) {
				s.eventLocked(now)
			}
			wait = max(due.Sub(now), time.Millisecond)
		}
		changed := s.changed
		s.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// eventLocked lets one event happen on a topic that somebody listens to, and sends it to all who do. It draws as often from the
// seed whatever it does, so that the n-th event depends on nothing but the topics that are listened to then.
func (s *PubSub) eventLocked(now time.Time) {
	which, what := s.events.Uint64(), s.events.Uint64()
	twice, unknown := s.events.Float64() < s.o.Duplicate, s.events.Float64() < s.o.Unknown
	if len(s.listened) == 0 {
		return
	}
	t := s.listened[which%uint64(len(s.listened))]
	body := t.templates[what%uint64(len(t.templates))]
	t.happened++
	head, middle, tail := s.envelopeLocked()
	frame := append(s.scratch[:0], make([]byte, maxHeader)...)
	frame = append(frame, head...)
	frame = append(frame, t.quoted...)
	frame = append(frame, middle...)
	frame, _, _ = body.append(frame, t.happened, now)
	frame = append(frame, tail...)
	s.scratch = frame
	frame = prependHeader(frame)

	for i := len(t.listeners) - 1; i >= 0; i-- { // backward: one that is cut off for its backlog leaves the list
		c := t.listeners[i]
		if s.starvedLocked(c) {
			continue
		}
		c.queueLocked(frame, t, t.happened)
		if twice {
			s.fired[FaultDuplicate]++
			c.queueLocked(frame, t, t.happened)
		}
		if unknown {
			s.fired[FaultUnknown]++
			c.queueLocked(appendFrame(nil, opText, s.encodeLocked(plain{"NEWS_FROM_THE_FUTURE"})), nil, 0)
		}
	}
}

// maxHeader is the room for the header of any frame.
const maxHeader = 10

// prependHeader takes a buffer that begins with maxHeader bytes of room and returns the text frame in it.
func prependHeader(b []byte) []byte {
	var header [maxHeader]byte
	h := appendHeader(header[:0], opText, len(b)-maxHeader)
	frame := b[maxHeader-len(h):]
	copy(frame, h)
	return frame
}

// starvedLocked says whether c gets no events because newer connections filled the upstream's limit.
func (s *PubSub) starvedLocked(c *client) bool {
	if !s.o.Starve || s.o.Connections <= 0 || s.open <= s.o.Connections {
		return false
	}
	newer := 0
	for _, other := range s.active {
		if other.id > c.id && !other.ended {
			newer++
		}
	}
	return newer >= s.o.Connections
}

// flood is a batch of frames that is sent again and again with other numbers: so the simulator costs little beside what it feeds.
// Owned by the client's writer.
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

// flood sends one batch.
func (c *client) flood(f *flood) error {
	now := time.Now()
	c.s.mu.Lock()
	rebuild := f.version != c.version || now.Sub(f.built) > floodMaxAge
	if rebuild {
		f.version, f.built = c.version, now
		f.topics = f.topics[:0]
		for _, t := range c.topics {
			f.topics = append(f.topics, t)
		}
		f.rounds = max(1, floodBytes/floodFrame/max(1, len(f.topics)))
	}
	f.base = f.base[:0]
	for _, t := range f.topics {
		f.base = append(f.base, t.happened)
		t.happened += uint64(f.rounds)
	}
	head, middle, tail := c.s.envelopeLocked()
	c.s.mu.Unlock()

	if rebuild || !f.renumber() {
		f.build(now, head, middle, tail)
	}
	_ = c.nc.SetWriteDeadline(now.Add(writeWait))
	n, err := c.nc.Write(f.buf)

	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for i, t := range f.topics {
		sent := 0
		for sent < f.rounds && f.spots[sent*len(f.topics)+i].end <= n {
			sent++
		}
		if sent > 0 {
			t.sentLocked(c.id, f.base[i]+1, f.base[i]+uint64(sent))
			c.rec.Events += uint64(sent)
		}
	}
	c.failedLocked(err)
	return err
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

func (f *flood) build(now time.Time, head, middle, tail string) {
	f.buf, f.spots = f.buf[:0], f.spots[:0]
	var frame []byte
	for round := range f.rounds {
		for k, t := range f.topics {
			n := f.base[k] + uint64(round) + 1
			frame = append(frame[:0], make([]byte, maxHeader)...)
			frame = append(frame, head...)
			frame = append(frame, t.quoted...)
			frame = append(frame, middle...)
			var number, numberEnd int
			frame, number, numberEnd = t.templates[(round+k)%len(t.templates)].append(frame, n, now)
			frame = append(frame, tail...)
			whole := prependHeader(frame)
			shift := len(f.buf) - (len(frame) - len(whole))
			f.buf = append(f.buf, whole...)
			f.spots = append(f.spots, spot{number + shift, numberEnd + shift, len(f.buf)})
		}
	}
}
