package kite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// The rules of the ticker, beside those that every upstream can have.
const (
	RuleInstruments upstream.Rule = "instruments" // too many on one connection
	RuleMessage     upstream.Rule = "message"     // not a request
)

// client is the ticker's part of one socket: the session of the client that it embeds.
type client struct {
	*upstream.Client
	p *Ticker

	// Guarded by the server's lock.
	rec         ConnRecord // but for what it embeds
	refusal     string     // why the handshake was refused
	opened      bool
	instruments map[uint32]*instrument
	haunted     *ghost // nil: by none
	batch       batch
	heartbeat   *upstream.Timer
	heartless   bool // no heartbeats any more
	lastSent    time.Time
	truncated   int // binary frames that ended early
	garbled     int // texts that were not what they should be
}

func newClient(p *Ticker, uc *upstream.Client) *client {
	c := &client{Client: uc, p: p, instruments: map[uint32]*instrument{}}
	c.heartbeat = c.NewTimer(c.onHeartbeatLocked)
	return c
}

// clientOf returns the ticker's part of a client of its server.
func clientOf(c *upstream.Client) *client { return c.Session.(*client) }

// OpenedLocked is for the server.
func (c *client) OpenedLocked() {
	c.opened, c.lastSent = true, time.Now()
	c.p.door.hauntLocked(c)
	c.heartbeat.SetLocked(c.p.o.Heartbeat)
	if c.p.o.Preamble {
		c.preambleLocked()
	}
}

// EndedLocked is for the server.
func (c *client) EndedLocked() {
	c.p.door.leaveLocked(c, &c.p.o)
	for token := range c.instruments {
		c.p.dropLocked(c, token)
	}
	c.rec.unsubscribed(nil)
	delete(c.p.caps, c.ID)
}

// Flood is for the server, which never asks: Saturate is off.
func (c *client) Flood() ([]byte, func(int)) { return nil, nil }

func (c *client) onHeartbeatLocked() {
	o, now := &c.p.o, time.Now()
	if c.heartless || o.Heartbeat <= 0 {
		return
	}
	if idle := now.Sub(c.lastSent); o.HeartbeatIdle && idle < o.Heartbeat {
		c.heartbeat.SetLocked(o.Heartbeat - idle)
		return
	}
	c.lastSent = now
	c.QueueLocked(websocket.AppendFrame(nil, websocket.OpBinary, []byte{0}), nil)
	c.heartbeat.SetLocked(o.Heartbeat)
}

// request is what a client may say.
type request struct {
	Action string          `json:"a"`
	Value  json.RawMessage `json:"v"`
}

// MessageLocked is for the server.
func (c *client) MessageLocked(message []byte) {
	ask := Ask{At: time.Now(), Mode: ModeQuote}
	ask.Error = c.obeyLocked(message, &ask)
	c.rec.Asks = upstream.AppendBounded(c.rec.Asks, ask)
	c.p.Log.Info("asked", "conn", c.ID, "action", ask.Action, "instruments", len(ask.Tokens),
		"now", len(c.instruments), "error", ask.Error)
	if ask.Error != "" {
		c.sayLocked("error", ask.Error)
	}
	c.p.flushLocked()
}

// obeyLocked does what a message asks for and fills in ask. It returns the error text that answers it; "": there is no
// answer.
func (c *client) obeyLocked(message []byte, ask *Ask) string {
	var r request
	if err := json.Unmarshal(message, &r); err != nil {
		return c.badLocked("not the JSON of a request")
	}
	tokens := r.Value
	switch r.Action {
	case "mode":
		var parts []json.RawMessage
		if json.Unmarshal(r.Value, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &ask.Mode) != nil {
			return c.badLocked("not a mode and its tokens")
		}
		if m := ask.Mode; m != ModeLTP && m != ModeQuote && m != ModeFull {
			return c.badLocked(fmt.Sprintf("mode %.40q", m))
		}
		tokens = parts[1]
	case "subscribe", "unsubscribe":
	default:
		return c.badLocked(fmt.Sprintf("action %.40q", r.Action))
	}
	ask.Action = r.Action
	var err error
	if ask.Tokens, err = tokensOf(tokens); err != nil {
		return c.badLocked(err.Error())
	}
	switch r.Action {
	case "subscribe":
		return c.onSubscribeLocked(ask.Tokens, ModeQuote)
	case "unsubscribe":
		for _, token := range ask.Tokens {
			c.p.dropLocked(c, token)
		}
		c.rec.unsubscribed(ask.Tokens)
		return ""
	}
	return c.onModeLocked(ask)
}

func (c *client) badLocked(detail string) string {
	c.ViolationLocked(RuleMessage, detail)
	return "Invalid request: " + detail
}

// tokensOf reads a list of instrument tokens, which are JSON numbers.
func tokensOf(list json.RawMessage) ([]uint32, error) {
	var tokens []*uint32
	if err := json.Unmarshal(list, &tokens); err != nil || tokens == nil {
		return nil, fmt.Errorf("not a list of instrument tokens")
	}
	values := make([]uint32, len(tokens))
	for i, token := range tokens {
		if token == nil || *token == 0 {
			return nil, fmt.Errorf("no instrument has the token 0 or null")
		}
		values[i] = *token
	}
	return values, nil
}

func (c *client) onSubscribeLocked(tokens []uint32, mode Mode) string {
	if text := c.fullLocked(tokens); text != "" {
		return text
	}
	for _, token := range tokens {
		if in := c.p.subscribeLocked(c, token); in != nil {
			s := in.subscriberLocked(c)
			s.mode = mode
			c.p.gatherLocked(s, in, "", true)
		}
	}
	return ""
}

// fullLocked returns Kite's words for a subscribe that brings too many; "": it does not.
func (c *client) fullLocked(tokens []uint32) string {
	o := &c.p.o
	added := map[uint32]bool{}
	for _, token := range tokens {
		if c.instruments[token] == nil {
			added[token] = true
		}
	}
	limit, sum := o.InstrumentsPerConnection, len(c.instruments)+len(added)
	own, lower := c.p.caps[c.ID]
	text := fmt.Sprintf("Can't subscribe to more than %d instruments.", cmp.Or(max(limit, 0), own))
	switch {
	case len(added) == 0:
	case limit > 0 && sum > limit:
		c.ViolationLocked(RuleInstruments, fmt.Sprintf("%d on one connection", sum))
		return text
	case limit > 0 && sum+c.inheritedLocked() > limit:
		c.FiredLocked(FaultLingerInstruments)
		return text
	case lower && sum > own:
		c.StruckLocked(FaultCap)
		return text
	}
	return ""
}

func (c *client) onModeLocked(ask *Ask) string {
	var strange []uint32
	for _, token := range ask.Tokens {
		if in := c.instruments[token]; in != nil {
			in.subscriberLocked(c).mode = ask.Mode
		} else {
			strange = append(strange, token)
		}
	}
	if c.p.o.ModeSubscribes {
		return c.onSubscribeLocked(strange, ask.Mode)
	}
	ask.Ignored = len(strange)
	return ""
}
