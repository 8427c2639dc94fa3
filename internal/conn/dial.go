package conn

import (
	"context"
	"errors"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/socket"
	"feedmux/shard"
)

// dialled is what a dialer tells its conn.
type dialled struct {
	sock     *socket.Conn
	endpoint protocol.Endpoint
	waited   time.Duration
	err      error
	turned   bool // the dial had its turn, so it took a place
	began    bool // something may have been opened
}

// dial waits for its turn and opens the next life, in a goroutine of its own: the conn goes on receiving orders.
func (c *Conn) dial(ctx context.Context) {
	ctx, c.undial = context.WithCancel(ctx)
	attempt, topics := c.attempt, len(c.want)
	c.attempt++
	c.setState(Dialing, "", nil)
	c.children.Go(func() {
		c.inbox <- c.opts.dial(ctx, c.slot, topics, attempt)
	})
}

func (o *Options) dial(ctx context.Context, slot shard.Slot, topics, attempt int) (d dialled) {
	begin := time.Now()
	end, err := o.Account.Turn(ctx, slot, topics)
	d.waited = time.Since(begin)
	if err != nil {
		d.err = err
		return d
	}
	defer end()
	d.turned = true
	if d.endpoint, d.err = o.Protocol.Endpoint(ctx); d.err != nil {
		return d
	}
	d.began = true
	d.sock, d.err = socket.Dial(ctx, socket.Options{
		URL: d.endpoint.URL, Header: d.endpoint.Header, Timeout: o.DialTimeout, MaxMessage: o.MaxMessage,
		Attempt: attempt, DialContext: o.DialContext, Secrets: []string{d.endpoint.Token},
	})
	return d
}

func (c *Conn) onDialled(ctx context.Context, d dialled) {
	c.undial()
	now := time.Now()
	if d.err != nil {
		cause := judge(d.err)
		switch {
		case !d.turned:
		case !d.began || unopened(d.err):
			c.opts.Account.Leave()
		default:
			c.opts.Account.LeaveLater()
		}
		if d.turned && !errors.Is(d.err, context.Canceled) {
			c.up <- DialEnded{Slot: c.slot, Cause: cause, Waited: d.waited}
			c.backoff.Failed(0)
		}
		c.retryAt = now.Add(c.backoff.Next(c.rand))
		var refused *socket.HandshakeError
		if errors.As(d.err, &refused) && refused.RetryAfter > 0 {
			until := c.opts.Account.Pause(refused.RetryAfter)
			if until.After(c.retryAt) {
				c.retryAt = until // the budget would wait as long, and not say so
			}
		}
		c.again(ctx, cause, d.err)
		return
	}
	c.up <- DialEnded{Slot: c.slot, Waited: d.waited}
	c.lives++
	l := &life{
		number: c.lives, slot: c.slot, sock: d.sock, batch: c.opts.Publisher.Batch(), tally: &c.tally, inbox: c.inbox,
		over:    make(chan struct{}),
		session: c.opts.Protocol.Open(d.endpoint),
		routes:  make(map[shard.Topic]*route, len(c.want)),
	}
	c.life = l
	c.liveSince, c.ending, c.endErr, c.mute = time.Time{}, "", nil, false
	c.pings = pings{next: c.pacer.Next(now, c.rand)}
	c.asks = newAsks(c.opts)
	c.asks.want(c.want, c.life)
	c.current.Store(c.life)
	c.children.Go(l.read)
	c.children.Go(func() { l.leaveWith(ctx) })
	c.setState(Opening, "", nil)
	if len(c.want) == 0 {
		c.leave(CauseDrain, 1001)
		return
	}
	c.pump(now)
}
