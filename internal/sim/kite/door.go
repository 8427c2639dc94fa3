package kite

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
)

// maxKnown bounds the tokens that are remembered; past it all are forgotten, and so are new.
const maxKnown = 10_000

// door is what decides about handshakes. Guarded by the server's lock.
type door struct {
	known   map[string]time.Time // access tokens: when each was first good
	flushed time.Time            // tokens that are older are dead from then on; zero: never
	open    []*client            // that passed and have not ended, in that order
	ghosts  []*ghost
}

// ghost is a socket that dropped without a Close and that the upstream still counts.
type ghost struct {
	key         string
	socketTill  time.Time // it counts in the cap until then
	instruments int       // that count on the socket that opens next, and, when it has ended, on the next again
	till        time.Time // until then
	taken       bool      // a socket that is open has them
}

// SetToken makes token the only good one from now on, as new; "" makes every token good that is not dead. Sockets that are
// open stay so.
func (p *Ticker) SetToken(token string) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.o.Token = token
	if token != "" {
		p.door.known[token] = time.Now()
	}
}

// TokenDies makes every token dead from at on that was set, or came and was good, before it: handshakes with it are
// refused with 403, and sockets that are open stay so. Each call plans one such refusal. A later call replaces the time.
func (p *Ticker) TokenDies(at time.Time) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.PlanLocked(FaultTokenDies, 1)
	p.door.flushed = at
}

// RequestLocked is for the server: it judges the handshake.
func (c *client) RequestLocked(r *http.Request) (status int) {
	query := r.URL.Query()
	c.rec.Key = query.Get("api_key")
	c.refusal = c.p.judgeLocked(c, query.Get("access_token"))
	switch {
	case c.refusal != "":
		c.rec.Denied = http.StatusForbidden
	case !c.p.hasPlaceLocked(c):
		c.refusal, c.rec.Denied = "Too many requests", http.StatusTooManyRequests
	default:
		c.p.door.open = append(c.p.door.open, c)
	}
	return c.rec.Denied
}

// RefusalLocked is for the server.
func (c *client) RefusalLocked(status int) (contentType string, body []byte) {
	kind := "TokenException"
	if status == http.StatusTooManyRequests {
		kind = "NetworkException"
	}
	return "application/json", compactJSON(struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Data    any    `json:"data"`
		Kind    string `json:"error_type"`
	}{"error", c.refusal, nil, kind})
}

// judgeLocked returns why a handshake is refused with 403; "": it is not.
func (p *Ticker) judgeLocked(c *client, token string) string {
	d, now := &p.door, time.Now()
	if c.rec.Key == "" || token == "" || p.o.Token != "" && token != p.o.Token {
		return "Incorrect `api_key` or `access_token`."
	}
	first, known := d.known[token]
	if !known {
		first = now
		if len(d.known) >= maxKnown {
			clear(d.known)
		}
		d.known[token] = now
	}
	flushed := !d.flushed.IsZero() && !now.Before(d.flushed) && first.Before(d.flushed)
	aged := p.o.TokenDies > 0 && now.Sub(first) >= p.o.TokenDies
	if flushed || aged {
		c.FiredLocked(FaultTokenDies)
		return "Token is invalid or has expired."
	}
	return ""
}

// hasPlaceLocked says whether the key may have one more socket.
func (p *Ticker) hasPlaceLocked(c *client) bool {
	limit := p.o.Connections
	if limit <= 0 || p.o.Starve { // the server starves the oldest
		return true
	}
	now, open, lingering := time.Now(), 0, 0
	for _, other := range p.door.open {
		if other.rec.Key == c.rec.Key {
			open++
		}
	}
	for _, g := range p.door.ghosts {
		if g.key == c.rec.Key && now.Before(g.socketTill) {
			lingering++
		}
	}
	switch {
	case open >= limit:
		c.ViolationLocked(upstream.RuleConnections, fmt.Sprintf("%d are open for this api_key", open))
	case open+lingering >= limit:
		c.FiredLocked(FaultLinger) // which no client can know
	default:
		return true
	}
	return false
}

// hauntLocked lets the client that has just opened inherit the instruments of a socket that dropped.
func (d *door) hauntLocked(c *client) {
	now := time.Now()
	d.ghosts = slices.DeleteFunc(d.ghosts, func(g *ghost) bool { return now.After(g.till) && now.After(g.socketTill) })
	for _, g := range d.ghosts {
		if g.key == c.rec.Key && !g.taken && g.instruments > 0 && now.Before(g.till) {
			g.taken, c.haunted = true, g
			return
		}
	}
}

// inheritedLocked returns how many instruments of a dropped socket count on the client's.
func (c *client) inheritedLocked() int {
	if c.haunted != nil && time.Now().Before(c.haunted.till) {
		return c.haunted.instruments
	}
	return 0
}

// leaveLocked is called when a client has ended, while it still has its instruments.
func (d *door) leaveLocked(c *client, o *Options) {
	d.open = slices.DeleteFunc(d.open, func(other *client) bool { return other == c })
	if c.haunted != nil {
		c.haunted.taken = false
	}
	if !c.opened || c.ClosedLocked() || o.Linger <= 0 && o.LingerInstruments <= 0 {
		return
	}
	const most = 1000 // beyond them the oldest are forgotten
	if len(d.ghosts) >= most {
		d.ghosts = slices.Delete(d.ghosts, 0, 1)
	}
	now := time.Now()
	d.ghosts = append(d.ghosts, &ghost{
		key: c.rec.Key, socketTill: now.Add(o.Linger), instruments: len(c.instruments), till: now.Add(o.LingerInstruments),
	})
}
