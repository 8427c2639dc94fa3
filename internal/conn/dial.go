package conn

import (
	"context"
	"errors"
	"net/http"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/socket"
	"feedmux/limiter"
)

// attempt is one try to open a life, from the wish to dial to what came of it.
type attempt struct {
	number   int
	handOver bool        // another life serves meanwhile
	opened   bool        // it dials
	changes  int         // of the credential, when it was looked at
	settings *Settings   // that it is dialled with
	order    slots.Order // when it began to dial
	begin    time.Time
	waited   time.Duration
	cancel   context.CancelFunc
	seat     *account.Seat // once it has its turn
}

// turned is what a dialer tells its conn when its turn has come, or it was given up.
type turned struct {
	attempt *attempt
	seat    *account.Seat
	err     error
}

// dialled is what a dialer tells its conn in the end.
type dialled struct {
	attempt  *attempt
	sock     *socket.Conn
	endpoint protocol.Endpoint
	began    bool // something may have been opened
	err      error
}

// dial opens the next life, or parks.
func (c *Conn) dial(ctx context.Context) {
	a := &attempt{}
	if !c.may(a) {
		if c.state != slots.Parked {
			c.setState(slots.Parked, cause.Auth, nil)
		}
		return
	}
	c.setState(slots.Dialing, "", nil)
	c.begin(ctx, a, account.Request{Slot: c.slot, Topics: len(c.order.Topics)})
}

// begin waits for the turn of an attempt, in a goroutine of its own: the conn goes on receiving orders.
func (c *Conn) begin(ctx context.Context, a *attempt, r account.Request) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.number, a.begin = c.dials, time.Now()
	c.dials++
	c.attempt = a
	c.children.Go(func() {
		seat, err := c.opts.Share.Turn(ctx, r)
		c.inbox <- turned{a, seat, err}
	})
}

func (c *Conn) onTurned(ctx context.Context, t turned) {
	a := t.attempt
	if t.err != nil {
		a.cancel()
		c.attempt = nil
		if c.state == slots.Dialing {
			c.rest(ctx, cause.Drain, nil)
		}
		return
	}
	a.seat, a.waited = t.seat, time.Since(a.begin)
	giveUp := func() {
		a.cancel()
		c.attempt = nil
		a.seat.Leave(account.End{PeerGone: true})
	}
	switch {
	case ctx.Err() != nil || len(c.order.Topics) == 0:
		giveUp()
		if c.state == slots.Dialing {
			c.rest(ctx, cause.Drain, nil)
		}
	case a.handOver && (c.state != slots.Live || c.life.Ending != ""):
		giveUp() // there is nothing to hand over any more
	case !c.may(a): // it was refused while a waited
		giveUp()
		if a.handOver {
			c.moveAt = time.Now().Add(lookAgain)
		} else {
			c.setState(slots.Parked, cause.Auth, nil)
		}
	case a.handOver && c.closeFirst(a):
		why, _ := c.mustMove()
		c.leave(c.life, why, 1000) // its place is the one for the new life
	default:
		c.open(ctx, a)
	}
}

// may says whether the credential, if there is one, is good to dial with as far as anybody knows.
func (c *Conn) may(a *attempt) (ok bool) {
	if c.opts.Credential == nil {
		return true
	}
	a.changes, ok = c.opts.Credential.May(c.slot)
	return ok
}

// open dials, now that a has its turn and its place.
func (c *Conn) open(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithCancel(ctx)
	giveUp := a.cancel
	a.opened, a.order, a.settings = true, c.order, c.settings()
	a.cancel = func() { giveUp(); cancel() }
	c.children.Go(func() {
		d := dialled{attempt: a}
		if d.endpoint, d.err = c.opts.Protocol.Endpoint(ctx); d.err == nil {
			d.began = true
			d.sock, d.err = socket.Dial(ctx, socket.Options{
				URL: d.endpoint.URL, Header: d.endpoint.Header, Secrets: []string{d.endpoint.Token}, Attempt: a.number,
				Timeout: a.settings.DialTimeout, MaxMessage: a.settings.MaxMessage, TLS: a.settings.TLS,
				Local: a.settings.Local, Proxy: a.settings.Proxy, DialContext: c.opts.DialContext,
			})
		}
		a.seat.Dialled()
		c.inbox <- d
	})
}

func (c *Conn) onDialled(ctx context.Context, d dialled) {
	a := d.attempt
	a.cancel()
	c.attempt = nil
	if d.err != nil {
		c.onDialFailed(ctx, d)
		return
	}
	c.up <- slots.DialEnded{Slot: c.slot, Waited: a.waited}
	if c.limits.LiveWithin == 0 { // else the handshake says nothing of the credential
		c.accepted(a.changes)
	}
	l := c.newLife(d)
	if a.order.Credential < c.order.Credential { // it changed meanwhile
		l.Asks.Stale(true)
		c.renew(ctx)
	}
	if a.handOver {
		c.standBy(ctx, l)
		if c.life.Ending != "" { // it ends just now, for want of topics or for good
			c.leave(l, cause.Drain, 1001)
		}
		return
	}
	c.life = l
	c.current.Store(l)
	c.start(ctx, l)
	c.setState(slots.Opening, "", nil)
	if len(c.order.Topics) == 0 {
		c.leave(l, cause.Drain, 1001)
		return
	}
	c.pump(l, time.Now())
}

// accepted says that the upstream lets us in with the secret as it was after so many changes.
func (c *Conn) accepted(changes int) {
	if c.opts.Credential != nil {
		c.opts.Credential.Accepted(changes)
	}
}

// newLife makes a life of a socket. Its reader is yet to be started.
func (c *Conn) newLife(d dialled) *life.Life {
	a, s := d.attempt, d.attempt.settings
	c.lives++
	d.endpoint.Redact = d.sock.Redact
	o := reader.Options{
		Number: c.lives, Slot: c.slot, Socket: d.sock, Session: c.opts.Protocol.Open(d.endpoint),
		Publisher: c.opts.Publisher, Tally: c.tally, News: c.inbox, Asides: c.opts.Asides, Branch: c.opts.Branch,
	}
	if stream := c.opts.Stream; stream != nil {
		o.Stream = stream
		stream.Opened(o.Number, c.slot, d.endpoint.Token)
	}
	l := life.New(reader.New(o), life.Options{
		Settings: s, Limits: c.limits, Seat: a.seat, Rand: c.rand, Blame: &c.blame,
		Pacer: limiter.NewPacer(s.PingInterval, s.PingJitter, c.anchor, c.opts.Feed, int(c.slot), c.opts.Connections),
	})
	l.Changes, l.Renewals = a.changes, a.order.Renewals
	l.Asks.Want(c.order.Topics, l)
	return l
}

// start lets the reader of a life begin.
func (c *Conn) start(ctx context.Context, l *life.Life) {
	c.children.Go(l.Read)
	c.children.Go(func() { l.LeaveWith(ctx) })
}

func (c *Conn) onDialFailed(ctx context.Context, d dialled) {
	a := d.attempt
	now := time.Now()
	why := cause.Of(d.err)
	var refused *socket.HandshakeError
	answered := errors.As(d.err, &refused)
	var missing *protocol.DeniedError
	if errors.As(d.err, &missing) {
		why = cause.Auth
	}
	dead := c.opts.Credential != nil && (missing != nil || answered &&
		(refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden))
	canceled := errors.Is(d.err, context.Canceled)
	end := account.End{
		Failed:   !canceled && !dead, // with a dead credential nobody goes on to the next probe
		PeerGone: !d.began || cause.Unopened(d.err),
	}
	switch {
	case dead: // before anybody else has a turn
		c.dead(a.changes)
	case c.opts.Credential != nil:
		c.opts.Credential.GivenUp(c.slot)
	}
	if answered && refused.Status == c.limits.Crowded {
		c.opts.Share.Crowded()
	}
	a.seat.Leave(end)
	if !canceled {
		c.up <- slots.DialEnded{Slot: c.slot, Cause: why, Waited: a.waited}
	}
	if answered && refused.RetryAfter > 0 {
		c.opts.Share.Pause(refused.RetryAfter)
	}
	c.settleBackoff(end)
	retryAt := c.afterFailure(now)
	if a.handOver { // the other life still serves, or its end says what comes next
		c.moveAt = retryAt
		if !canceled {
			c.up <- slots.HandOverFailed{Slot: c.slot, Cause: why, Err: d.err, Again: retryAt}
		}
		return
	}
	c.retryAt = retryAt
	if dead && len(c.order.Topics) > 0 && ctx.Err() == nil {
		c.setState(slots.Parked, why, d.err)
		return
	}
	c.rest(ctx, why, d.err)
}

// renewed brings the endpoint with the credential that changed.
type renewed struct {
	ordered  int // Order.Credential when it was fetched
	endpoint protocol.Endpoint
	err      error
}

// renew fetches the credential that changed, for sessions that have an older one.
func (c *Conn) renew(ctx context.Context) {
	c.renewing++
	for _, l := range []*life.Life{c.life, c.next} {
		if l != nil {
			l.Asks.Stale(true)
		}
	}
	ordered := c.order.Credential
	c.children.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, c.settings().DialTimeout)
		defer cancel()
		e, err := c.opts.Protocol.Endpoint(ctx)
		c.inbox <- renewed{ordered, e, err}
	})
}

// onRenewed gives the sessions the credential that changed.
func (c *Conn) onRenewed(r renewed) {
	c.renewing--
	for _, l := range []*life.Life{c.life, c.next} {
		if l == nil {
			continue
		}
		if r.err == nil && r.ordered == c.order.Credential { // else a newer one is there or to come, or it is fetched at the next dial
			l.Socket.Hide(r.endpoint.Token)
			l.Renew(r.endpoint)
		}
		if c.renewing > 0 {
			continue
		}
		l.Asks.Stale(false)
		if l.Ending == "" {
			c.ask(l)
		}
	}
}
