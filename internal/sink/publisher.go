package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"feedmux/internal/notices"
	"feedmux/internal/sink/link"
	"feedmux/internal/subject"
	"feedmux/pool"
)

const (
	noticeRate  = 5000 // a second, after a burst: what a restart or an outage brings is spread
	noticeBurst = 10000
	lookAgain   = 250 * time.Millisecond // while something has to be confirmed or announced
)

// publisher empties the buffer into one NATS connection after another. Run owns it.
type publisher struct {
	*Core
	nc     *nats.Conn // nil before the first, and after one that is gone for good
	dialed time.Time  // when nc was made, or could not be
	pace   *rate.Limiter
	chunk  *chunk // the one under way
	done   int    // how many of its events are done with
	msg    *nats.Msg

	downs   uint64         // of the link, as far as their gaps were announced
	windows windows        // what NATS has not confirmed
	asking  sync.WaitGroup // those who ask it to
	gapID   uint64

	looked time.Time // for events that were dropped
	said   time.Time // … and logged
}

// state is why the publisher rests.
type state int

const (
	idle      state = iota // nothing waits
	throttled              // notices wait for their turn, and nothing else
	away                   // NATS takes nothing for now
)

// Run publishes until ctx ends, then what still waits: for at most Options.Drain, and some seconds more if the server
// stalls just then. It returns nil if NATS confirmed all of that, else an error that says how much was left behind.
// Before that nothing is an error: Run waits for a NATS that is away.
func (c *Core) Run(ctx context.Context) error {
	p := &publisher{Core: c, pace: rate.NewLimiter(noticeRate, noticeBurst)}
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(c.opts.Drain, cancel) })()

	for {
		p.sayLosses()
		state := p.work(ctx, late)
		if late.Err() != nil || ctx.Err() != nil && !p.anythingWaits() {
			return p.finish(late.Err())
		}
		end := ctx.Done()
		if ctx.Err() != nil {
			end = late.Done()
		}
		switch state {
		case idle:
			d := p.sayEvery
			if !p.windows.empty() || c.buffer.overflowing.Load() {
				d = lookAgain
			}
			p.rest(c.buffer.wake, end, d)
		case throttled:
			p.rest(c.buffer.wake, end, 10*time.Millisecond)
		case away:
			c.buffer.away.Store(true)
			p.rest(nil, end, link.Wait)
			c.buffer.away.Store(false)
		}
	}
}

// sayLosses logs what was dropped since it last did, at most every ten seconds, and announces what is in no gap.
func (p *publisher) sayLosses() {
	now := time.Now()
	if now.Sub(p.looked) < p.sayEvery/10 || now.Sub(p.said) < p.sayEvery {
		return
	}
	p.looked = now
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.feeds {
		var dropped []any
		for _, r := range Reasons() {
			if n := f.dropped[r].Load(); n > f.said[r] {
				dropped = append(dropped, string(r), n-f.said[r])
				p.said, f.said[r] = now, n
			}
		}
		if dropped != nil {
			f.saidAt.Store(&now)
			p.log.Warn("events were dropped", "feed", f.name, slog.Group("dropped", dropped...))
		}
		p.tellLosses(f, now)
	}
}

// tellLosses announces a feed's events that can never be sent.
func (p *publisher) tellLosses(f *feed, now time.Time) {
	n := &pool.LossNotice{Feed: f.name, Lost: make(map[string]uint64), Forbidden: p.link.Stats().Refused, At: now.UTC()}
	sum := n.Forbidden
	for _, r := range []Reason{TooLarge, BadSubject, NATSRefused, NATSBreaks} {
		if lost := f.dropped[r].Load(); lost > 0 {
			n.Lost[string(r)] = lost
			sum += lost
		}
	}
	if sum > f.told {
		p.said, f.told = now, sum
		p.notices.Add(subject.FeedNotice(f.name), n)
	}
}

// rest waits for any of these, for news of the connection, or until d has passed.
func (p *publisher) rest(wake, end <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-end:
	case <-timer.C:
	case <-p.link.Changed():
	}
}

func (p *publisher) anythingWaits() bool {
	bytes, _ := p.buffer.waiting()
	return bytes > 0 || !p.notices.Empty() || !p.windows.empty() || p.buffer.overflowing.Load()
}

// work publishes, notices first, until there is a reason to rest or late ends.
func (p *publisher) work(ctx, late context.Context) state {
	for late.Err() == nil {
		ending := ctx.Err() != nil
		if p.buffer.overflowing.Load() {
			p.overflowed(time.Now(), ending)
		}
		if !p.connect() {
			return away
		}
		p.confirm(false)
		if p.chunk == nil {
			p.chunk, p.done = p.buffer.next(), 0
		}
		notices := p.sendNotices(ending)
		switch {
		case notices == away:
			return away
		case p.chunk == nil:
			p.confirm(ending)
			return notices
		}
		sent := p.sendChunk()
		p.handed.Store(p.windows.since()) // before the chunk is given back, so an event is always counted
		if !sent {
			return away
		}
		p.chunk = nil
	}
	return away
}

// connect says whether NATS can be tried, announces what was lost with a connection that broke, and makes a client if
// there is none that lives: one in every link.Wait.
// Nothing is tried before the client has heard from its server, because it judges by what the server said: whether
// headers may be sent, and how long a message may be.
func (p *publisher) connect() bool {
	connected, gone, downs := p.link.State()
	if downs != p.downs {
		p.downs = downs
		p.broke()
	}
	p.link.Permit(!connected)
	if gone {
		p.nc = nil
	}
	if p.nc == nil && time.Since(p.dialed) >= link.Wait {
		nc, err := p.link.Connect(p.opts.Name, p.opts.Login)
		p.dialed = time.Now()
		if err != nil {
			p.link.Failed(err)
			return false
		}
		p.nc = nc
	}
	return connected
}

// sendNotices says idle when none is left, throttled when the others have to wait, or away.
func (p *publisher) sendNotices(hurry bool) state {
	for !p.notices.Empty() {
		if p.windows.inHand() >= notices.Max || !hurry && !p.pace.Allow() {
			return throttled
		}
		n := p.notices.Take()
		body, err := json.Marshal(n.Body)
		if err != nil {
			p.notices.Count(false)
			p.notices.Done(n)
			continue
		}
		err = p.nc.Publish(n.Subject, body)
		switch verdict, _ := judge(err); verdict {
		case sent:
			p.windows.notice(n)
			p.notices.Count(true)
		case lost:
			p.notices.Count(false)
			p.notices.Done(n)
		case broken:
			p.windows.notice(n) // it may have got through
			p.reconnect(err)
			return away
		case later:
			p.notices.Untake(false, n)
			return away
		}
	}
	return idle
}

// sendChunk goes on with the chunk under way. It says false when it has to stop before the end.
func (p *publisher) sendChunk() bool {
	for ; p.done < len(p.chunk.entries); p.done++ {
		e, payload := p.chunk.event(p.done)
		run := e.from.run
		if run != nil && run.Stopped() {
			continue // it was forgotten, or will be
		}
		if e.never != sendable {
			e.from.feed.dropped[e.never.reason()].Add(1)
			p.windows.event(e)
			continue
		}
		var err error
		if p.opts.Headers == HeadersFull {
			err = p.nc.PublishMsg(p.message(e, payload))
		} else {
			err = p.nc.Publish(e.mark.topic.Subject, payload)
		}
		switch verdict, why := judge(err); verdict {
		case sent:
			e.from.feed.published.Add(1)
			p.tap.Offer(e.from.feed.name, e.mark.topic.Name, e.mark.topic.Subject, payload, time.Unix(0, e.received))
			p.windows.event(e)
		case lost:
			e.from.feed.dropped[why].Add(1)
			if run != nil {
				p.windows.event(e) // done with, once all before it are
			}
		case broken:
			// Not again: an event that takes too long to write would end one connection after another. One that was taken
			// comes again if its owner wants it.
			if run == nil {
				e.from.feed.dropped[NATSBroke].Add(1)
			}
			p.windows.event(e)
			p.done++
			p.reconnect(err)
			return false
		case later:
			return false
		}
	}
	return true
}

// message is the event with all headers. It is the publisher's, and valid until the next call.
func (p *publisher) message(e *entry, payload []byte) *nats.Msg {
	if p.msg == nil {
		p.msg = &nats.Msg{Header: nats.Header{}}
	}
	p.msg.Subject, p.msg.Data = e.mark.topic.Subject, payload
	set := func(name, value string) {
		if v := p.msg.Header[name]; v != nil {
			v[0] = value
		} else {
			p.msg.Header[name] = []string{value}
		}
	}
	// The client makes spaces of line breaks and cuts spaces at the ends: the subject says exactly what the topic is.
	set("Feedmux-Topic", string(e.mark.topic.Name))
	set("Feedmux-Received", time.Unix(0, e.received).UTC().Format(time.RFC3339Nano))
	set("Feedmux-Slot", strconv.Itoa(int(e.from.slot)))
	set("Feedmux-Life", strconv.Itoa(int(e.from.life)))
	set("Feedmux-Seq", strconv.FormatUint(e.seq, 10))
	return p.msg
}

// verdict is what an attempt to publish came to.
type verdict int

const (
	sent   verdict = iota
	lost           // it can never be sent: the next one's turn
	later          // there is no connection: again when there is one
	broken         // writing to the connection failed
)

// judge says for what reason an event is lost, too.
func judge(err error) (verdict, Reason) {
	switch {
	case err == nil:
		return sent, ""
	case errors.Is(err, nats.ErrMaxPayload):
		return lost, TooLarge
	case errors.Is(err, nats.ErrBadSubject):
		return lost, BadSubject
	case errors.Is(err, nats.ErrHeadersNotSupported):
		return lost, NATSRefused
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return later, ""
	}
	return broken, ""
}

// reconnect leaves a connection that could not be written to. The client has lost what it had gathered, and left alone
// it might go on with the same socket for two pings.
func (p *publisher) reconnect(err error) {
	p.link.Complained(fmt.Errorf("writing: %w", err))
	p.broke()
	p.link.Permit(true)
	p.nc.ForceReconnect() // fails if the client has given up: then it is replaced
}

// finish closes the connection and counts what is left. late says why Run does not wait for that to be sent, if it does
// not.
func (p *publisher) finish(late error) error {
	unconfirmed := !p.windows.empty()
	if p.nc != nil {
		p.close()
	}
	p.asking.Wait() // they end with their connections
	if since := p.Unconfirmed(); !since.IsZero() {
		p.left.Store(since.UnixNano())
	}
	events := 0
	p.buffer.close(p.done, func(from *source) {
		switch run := from.run; {
		case run == nil:
			from.feed.dropped[Drain].Add(1)
		case run.Stopped():
			return // nobody waits for it
		}
		events++ // one that was taken is not lost: its owner knows that it is not done with
	})
	notices := p.notices.Stats().Waiting
	switch {
	case events > 0 || notices > 0:
		return fmt.Errorf("draining: %d events and %d notices were left behind", events, notices)
	case unconfirmed:
		return fmt.Errorf("draining: waiting for NATS to confirm the last events: %w", late)
	}
	return nil
}

// close ends the client and waits for its last callback.
func (p *publisher) close() {
	p.nc.Close()
	for {
		if _, gone, _ := p.link.State(); gone {
			return
		}
		<-p.link.Changed()
	}
}
