package scaiwave

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// Close codes of the stream, and the reasons that they come with.
const (
	closeBadToken = 4001
	closeAborted  = 4003

	reasonDuplicate   = "duplicate_connection"
	reasonPingTimeout = "ping_timeout"
)

// The rules of ScaiWave, beside those that every upstream can have.
const (
	RuleDuplicate upstream.Rule = "duplicate" // a second socket while the first with the same token was in use
	RuleMessage   upstream.Rule = "message"   // the stream takes no messages
	RuleSync      upstream.Rule = "sync"      // a request to sync with figures that it does not take
	RuleToken     upstream.Rule = "token"     // a stream was tried again with a token that was refused
)

// client is ScaiWave's part of one socket: the session of the client that it embeds.
type client struct {
	*upstream.Client
	w *ScaiWave

	// Guarded by the server's lock.
	rec   ConnRecord // but for what it embeds
	hello *upstream.Timer
	ping  *upstream.Timer // with JSONPing
	pong  *upstream.Timer // likewise
}

func newClient(w *ScaiWave, uc *upstream.Client) *client {
	c := &client{Client: uc, w: w}
	c.hello = c.NewTimer(c.helloLocked)
	c.ping = c.NewTimer(c.pingLocked)
	c.pong = c.NewTimer(func() { c.ExpelLocked(upstream.RuleWSPong, "no pong", closeAborted, reasonPingTimeout) })
	return c
}

// clientOf returns ScaiWave's part of a client of its server.
func clientOf(c *upstream.Client) *client { return c.Session.(*client) }

// RequestLocked is for the server.
func (c *client) RequestLocked(r *http.Request) (status int) {
	if r.URL.Path != "/v1/stream" {
		return http.StatusNotFound
	}
	c.rec.Token = r.URL.Query().Get("token")
	return 0
}

// OpenedLocked is for the server: only here a token is looked at.
func (c *client) OpenedLocked() {
	w, o := c.w, &c.w.o
	if !w.isGoodLocked(c.rec.Token) {
		if w.refused[c.rec.Token] {
			c.ViolationLocked(RuleToken, "it was refused before")
		}
		const most = 1000
		if len(w.refused) < most {
			w.refused[c.rec.Token] = true
		}
		c.CloseLocked(closeBadToken, codeInvalidToken)
		return
	}
	c.rec.Good = true
	for i := len(w.streams) - 1; i >= 0; i-- {
		if other := w.streams[i]; other.rec.Token == c.rec.Token {
			if other.ServedLocked() {
				c.ViolationLocked(RuleDuplicate, fmt.Sprintf("conn %d is in use", other.ID))
			}
			other.rec.Replaced = true
			other.CloseLocked(closeAborted, reasonDuplicate)
			w.streams = slices.Delete(w.streams, i, i+1)
		}
	}
	w.streams = append(w.streams, c)
	if o.JSONPing {
		c.ping.SetLocked(o.WSPing)
	}
	switch {
	case o.HelloLoss > 0 && c.Rand.Float64() < o.HelloLoss:
		c.FiredLocked(FaultHelloLoss)
	case o.HelloDelay > 0:
		c.FiredLocked(FaultHelloDelay)
		c.hello.SetLocked(o.HelloDelay)
	default:
		c.helloLocked()
	}
}

// helloLocked sends hello: from here on the socket gets events.
func (c *client) helloLocked() {
	now := time.Now()
	if c.w.o.Race {
		c.FiredLocked(FaultRace)
		c.w.publishLocked(now, "room-1", TypeMessage, "")
		c.w.raced = false
	}
	c.rec.Hello, c.rec.From = now, c.w.log.position
	c.sayLocked(fmt.Appendf(nil, `{"type":"hello","session_id":"%08x-%04x-4%03x-8%03x-%012x","server_name":%s,"tenant_id":%s,"ts":"%s"}`,
		c.Rand.Uint32(), c.Rand.Uint32()>>16, c.Rand.Uint32()>>20, c.Rand.Uint32()>>20, c.Rand.Uint64()>>16,
		quote(c.w.o.ServerName), quote(c.w.o.Tenant), now.UTC().Format(time.RFC3339)))
}

func (c *client) sayLocked(text []byte) { c.QueueLocked(websocket.Text(text), nil) }

// MessageLocked is for the server.
func (c *client) MessageLocked(message []byte) {
	var m struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(message, &m); err == nil && m.Type == "pong" && c.w.o.JSONPing {
		c.pong.SetLocked(0)
		return
	}
	c.ViolationLocked(RuleMessage, fmt.Sprintf("%d bytes", len(message)))
}

func (c *client) pingLocked() {
	c.sayLocked([]byte(`{"type":"ping"}`))
	c.ping.SetLocked(c.w.o.WSPing)
	if !c.pong.ArmedLocked() {
		c.pong.SetLocked(c.w.o.WSPong)
	}
}

// NoPongLocked is for the server.
func (c *client) NoPongLocked() (code int, reason string) { return closeAborted, reasonPingTimeout }

// EndedLocked is for the server.
func (c *client) EndedLocked() {
	if i := slices.Index(c.w.streams, c); i >= 0 {
		c.w.streams = slices.Delete(c.w.streams, i, i+1)
	}
}

// Flood is for the server: there is none here.
func (c *client) Flood() (batch []byte, sentLocked func(n int)) { return nil, nil }

// sentLocked notes that an event was written to the client.
func (c *client) sentLocked(position int64) {
	c.rec.Events++
	c.rec.Last = max(c.rec.Last, position)
}
