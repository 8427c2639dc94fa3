package conn

import (
	"context"

	"feedmux/internal/protocol"
)

// renewed brings the endpoint with the credential that changed.
type renewed struct {
	ordered  int // Order.Credential when it was fetched
	endpoint protocol.Endpoint
	err      error
}

// renew fetches the credential that changed, for sessions that have an older one.
func (c *Conn) renew(ctx context.Context) {
	c.renewing++
	for _, l := range []*life{c.life, c.next} {
		if l != nil {
			l.asks.Stale(true)
		}
	}
	ordered := c.order.Credential
	c.children.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
		defer cancel()
		e, err := c.opts.Protocol.Endpoint(ctx)
		c.inbox <- renewed{ordered, e, err}
	})
}

// renewIfOld fetches the credential if it changed while a dialled.
func (c *Conn) renewIfOld(ctx context.Context, a *attempt) {
	if a.ordered < c.order.Credential {
		c.renew(ctx)
	}
}

// onRenewed gives the sessions the credential that changed.
func (c *Conn) onRenewed(r renewed) {
	c.renewing--
	for _, l := range []*life{c.life, c.next} {
		if l == nil {
			continue
		}
		if r.err == nil && r.ordered == c.order.Credential { // else a newer one is there or to come, or it is fetched at the next dial
			l.sock.Hide(r.endpoint.Token)
			l.renew(r.endpoint)
		}
		if c.renewing > 0 {
			continue
		}
		l.asks.Stale(false)
		if l.ending == "" {
			c.ask(l)
		}
	}
}
