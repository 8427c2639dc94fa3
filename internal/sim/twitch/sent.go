package twitch

import (
	"encoding/json"
	"fmt"
	"time"
)

// SentEvent is one event that was written to one socket.
type SentEvent struct {
	Topic string
	N     uint64 // the event's number: dense from 1 for each topic
	Body  string // as in the frame's data.message, its escaping undone; with its number it is unique for the topic
	Conn  int
	At    time.Time // when the write of it returned
}

// maxSentBytes bounds what is recorded and not taken.
const maxSentBytes = 256 << 20

// sentRecord is what [PubSub.TakeSent] returns next.
type sentRecord struct {
	list  []SentEvent
	bytes int
	lost  bool
}

func (r *sentRecord) add(e SentEvent) {
	const fixed = 100 // bytes of an event beside its body, about
	if r.lost || r.bytes+fixed+len(e.Body) > maxSentBytes {
		r.lost = true
		return
	}
	r.bytes += fixed + len(e.Body)
	r.list = append(r.list, e)
}

// TakeSent returns, in the order of writing, the events that were written since the last call, once for each socket and
// each time, and forgets them: for tests with Record. What the upstream withheld, or what still waited when a socket
// ended or fell silent, is not among them; what was written and then lost on its way is. 256 MiB are kept at most: past
// them nothing more is recorded until the next call, and whole is false.
//
// Over a real socket a client may read an event some moments before it is on record.
func (p *PubSub) TakeSent() (sent []SentEvent, whole bool) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	r := p.sent
	p.sent = sentRecord{}
	return r.list, !r.lost
}

// sentEventLocked returns what is to be called once event n of t was written to the client. body is still escaped, and not
// kept.
func (c *client) sentEventLocked(t *topic, n uint64, body []byte) func() {
	if !c.p.o.Record {
		return func() { c.sentLocked(t, n, n) }
	}
	var text string
	if err := json.Unmarshal(fmt.Appendf(nil, `"%s"`, body), &text); err != nil {
		panic(fmt.Sprintf("twitch: bug: the body of an event: %v", err))
	}
	return func() {
		c.sentLocked(t, n, n)
		c.p.sent.add(SentEvent{Topic: t.name, N: n, Body: text, Conn: c.ID, At: time.Now()})
	}
}
