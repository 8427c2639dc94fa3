package twitch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// The rules of PubSub, beside those that every upstream can have.
const (
	RuleBatch         upstream.Rule = "batch"          // too many topics in one LISTEN
	RuleFirstListen   upstream.Rule = "first_listen"   // came too late or never
	RuleIdle          upstream.Rule = "idle"           // no PING for too long
	RuleMessage       upstream.Rule = "message"        // not a request
	RuleNeedlessToken upstream.Rule = "needless_token" // a token with a topic that needs none
	RuleTopics        upstream.Rule = "topics"         // too many topics on one connection
)

// client is PubSub's part of one socket: the session of the client that it embeds.
type client struct {
	*upstream.Client
	p     *PubSub
	flood flood // owned by the writer

	// Guarded by the server's lock.
	rec     ConnRecord // but for what it embeds
	topics  map[string]*topic
	version int // grows with each change of topics

	firstListen *upstream.Timer
	idle        *upstream.Timer
	reconnect   *upstream.Timer
}

func newClient(p *PubSub, uc *upstream.Client) *client {
	c := &client{Client: uc, p: p, topics: map[string]*topic{}}
	c.firstListen = c.NewTimer(func() {
		c.ExpelLocked(RuleFirstListen, "nothing was asked for", upstream.ClosePolicy, "no LISTEN")
	})
	c.idle = c.NewTimer(func() {
		c.ExpelLocked(RuleIdle, "no PING", upstream.ClosePolicy, "no PING")
	})
	c.reconnect = c.NewTimer(func() { c.CloseLocked(upstream.CloseRestart, "reconnect") })
	return c
}

// clientOf returns PubSub's part of a client of its server.
func clientOf(c *upstream.Client) *client { return c.Session.(*client) }

// OpenedLocked is for the server.
func (c *client) OpenedLocked() {
	c.firstListen.SetLocked(c.p.o.FirstListen)
	c.idle.SetLocked(c.p.o.Idle)
}

// EndedLocked is for the server.
func (c *client) EndedLocked() {
	for name := range c.topics {
		c.p.unlistenLocked(c, name)
	}
	delete(c.p.caps, c.ID)
}

// request is what a client may say.
type request struct {
	Type  string `json:"type"`
	Nonce string `json:"nonce"`
	Data  struct {
		Topics []string `json:"topics"`
		Token  string   `json:"auth_token"`
	} `json:"data"`
}

// response is what answers LISTEN and UNLISTEN.
type response struct {
	Type  string `json:"type"`
	Nonce string `json:"nonce"`
	Error string `json:"error"`
}

// plain is a message that consists of its type.
type plain struct {
	Type string `json:"type"`
}

// MessageLocked is for the server.
func (c *client) MessageLocked(message []byte) {
	var r request
	if err := json.Unmarshal(message, &r); err != nil {
		c.ViolationLocked(RuleMessage, "not the JSON of a request")
		c.respondLocked("", "ERR_BADMESSAGE")
		return
	}
	switch r.Type {
	case "PING":
		c.onPingLocked()
	case "LISTEN", "UNLISTEN":
		c.onAskLocked(&r)
	default:
		c.ViolationLocked(RuleMessage, fmt.Sprintf("type %.40q", r.Type))
		c.respondLocked(r.Nonce, "ERR_BADMESSAGE")
	}
}

func (c *client) onPingLocked() {
	o := &c.p.o
	c.rec.Pings = upstream.AppendBounded(c.rec.Pings, time.Now())
	c.idle.SetLocked(o.Idle)
	if o.PongLoss > 0 && c.Rand.Float64() < o.PongLoss {
		c.FiredLocked(FaultPongLoss)
		return
	}
	if o.PongDelay > 0 {
		c.p.CountLocked(FaultPongDelay)
	}
	c.sayLocked(o.PongDelay, plain{"PONG"})
}

func (c *client) onAskLocked(r *request) {
	o, topics, listen := &c.p.o, r.Data.Topics, r.Type == "LISTEN"
	ask := Ask{At: time.Now(), Type: r.Type, Topics: topics, Token: r.Data.Token != ""}
	if listen {
		c.firstListen.SetLocked(0)
	}
	if listen && o.TopicsPerListen > 0 && len(topics) > o.TopicsPerListen {
		ask.Error = "closed"
		c.rec.Asks = upstream.AppendBounded(c.rec.Asks, ask)
		c.ViolationLocked(RuleBatch, fmt.Sprintf("%d topics in one LISTEN", len(topics)))
		c.FINLocked("too many topics in one LISTEN")
		return
	}
	if listen && slices.ContainsFunc(topics, o.isPoison) {
		ask.Error = "closed"
		c.rec.Asks = upstream.AppendBounded(c.rec.Asks, ask)
		c.FiredLocked(FaultPoison)
		c.DismissLocked(o.PoisonCode, "a topic in a LISTEN")
		return
	}
	if listen {
		ask.Error = c.judgeLocked(r)
	} else if len(topics) == 0 {
		ask.Error = "ERR_BADMESSAGE"
	}
	c.rec.Asks = upstream.AppendBounded(c.rec.Asks, ask)
	if ask.Error == "" {
		for _, name := range topics {
			if listen {
				c.p.listenLocked(c, name)
			} else {
				c.p.unlistenLocked(c, name)
			}
		}
	}
	c.p.Log.Info(strings.ToLower(r.Type),
		"conn", c.ID, "topics", len(topics), "now", len(c.topics), "error", ask.Error)
	c.respondLocked(r.Nonce, ask.Error)
}

// judgeLocked returns the error that a LISTEN is answered with: one for all its topics.
func (c *client) judgeLocked(r *request) string {
	o := &c.p.o
	if len(r.Data.Topics) == 0 {
		c.ViolationLocked(RuleMessage, "LISTEN without topics")
		return "ERR_BADMESSAGE"
	}
	if o.ServerErrors > 0 && c.Rand.Float64() < o.ServerErrors {
		c.FiredLocked(FaultServerError)
		return "ERR_SERVER"
	}
	added, bad, unauthorised := 0, false, false
	seen := map[string]bool{}
	for _, name := range r.Data.Topics {
		if c.topics[name] == nil && !seen[name] {
			added++
		}
		seen[name] = true
		bad = bad || o.isBad(name)
		if o.needsToken(name) {
			unauthorised = unauthorised || r.Data.Token == "" || o.Token != "" && r.Data.Token != o.Token
		} else if r.Data.Token != "" {
			c.ViolationLocked(RuleNeedlessToken, fmt.Sprintf("with %.100q", name))
		}
	}
	switch {
	case bad:
		return "ERR_BADTOPIC"
	case unauthorised:
		return "ERR_BADAUTH"
	case o.TopicsPerConnection > 0 && len(c.topics)+added > o.TopicsPerConnection:
		c.ViolationLocked(RuleTopics, fmt.Sprintf("%d topics on one connection", len(c.topics)+added))
		return o.TooManyTopics
	}
	if own, lower := c.p.caps[c.ID]; lower && added > 0 && len(c.topics)+added > own {
		c.StruckLocked(FaultCap)
		return o.TooManyTopics
	}
	return ""
}

func (c *client) respondLocked(nonce, errorText string) {
	o := &c.p.o
	if o.ResponseLoss > 0 && c.Rand.Float64() < o.ResponseLoss {
		c.FiredLocked(FaultResponseLoss)
		return
	}
	if o.ResponseDelay > 0 {
		c.p.CountLocked(FaultResponseDelay)
	}
	c.sayLocked(o.ResponseDelay, response{"RESPONSE", nonce, errorText})
}

// sayLocked sends v, d later.
func (c *client) sayLocked(d time.Duration, v any) {
	c.QueueAfterLocked(d, websocket.Text(c.p.encodeLocked(v)))
}

// encodeLocked writes v as the options want it.
func (p *PubSub) encodeLocked(v any) []byte {
	b := compactJSON(v)
	if p.o.Spaces {
		var spaced bytes.Buffer
		if err := json.Indent(&spaced, b, "", " "); err != nil {
			panic(fmt.Sprintf("twitch: bug: spacing a message: %v", err))
		}
		b = bytes.ReplaceAll(spaced.Bytes(), []byte("\n"), nil)
	}
	if p.o.Newline {
		b = append(b, '\n')
	}
	return b
}

func compactJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("twitch: bug: encoding a message: %v", err))
	}
	return b
}
