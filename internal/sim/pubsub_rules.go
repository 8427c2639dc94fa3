package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Rule names a rule of the upstream.
type Rule string

const (
	RuleBacklog       Rule = "backlog"        // reads too slowly
	RuleBatch         Rule = "batch"          // too many topics in one LISTEN
	RuleConnections   Rule = "connections"    // too many at a time
	RuleFirstListen   Rule = "first_listen"   // came too late or never
	RuleFrame         Rule = "frame"          // what no WebSocket client may send, an unmasked frame above all
	RuleHandshake     Rule = "handshake"      // no WebSocket handshake
	RuleIdle          Rule = "idle"           // no PING for too long
	RuleMessage       Rule = "message"        // not a request
	RuleNeedlessToken Rule = "needless_token" // a token with a topic that needs none
	RuleTopics        Rule = "topics"         // too many topics on one connection
	RuleWSPong        Rule = "ws_pong"        // a WebSocket ping was not answered
)

// onTimersLocked does what is due and returns when it wants to be called again.
func (c *client) onTimersLocked(now time.Time) time.Time {
	s := c.s
	due := func(t *time.Time) bool {
		if t.IsZero() || now.Before(*t) {
			return false
		}
		*t = time.Time{}
		return true
	}
	if due(&c.closeBy) {
		c.endLocked("FIN")
		_ = c.nc.Close()
	}
	if !c.closing && !c.muted {
		c.laterLocked(now)
		if due(&c.firstListenBy) {
			s.violationLocked(c, RuleFirstListen, "nothing was asked for")
			c.closeLocked(closePolicy, "no LISTEN")
		}
		if due(&c.pingBy) {
			s.violationLocked(c, RuleIdle, "no PING")
			c.closeLocked(closePolicy, "no PING")
		}
		if due(&c.wsPongBy) {
			s.violationLocked(c, RuleWSPong, "no pong")
			c.closeLocked(4100, "ping pong failed")
		}
		if due(&c.reconnectBy) {
			c.closeLocked(closeRestart, "reconnect")
		}
		if due(&c.nextWSPing) {
			c.queueLocked(appendFrame(nil, opPing, nil), nil, 0)
			c.nextWSPing = after(now, s.o.WSPing)
			if c.wsPongBy.IsZero() {
				c.wsPongBy = after(now, s.o.WSPong)
			}
		}
	}
	next := c.closeBy
	earliest := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !c.closing && !c.muted {
		for _, t := range []time.Time{c.firstListenBy, c.pingBy, c.wsPongBy, c.reconnectBy, c.nextWSPing} {
			earliest(t)
		}
		for _, d := range c.later {
			earliest(d.at)
		}
	}
	if next.IsZero() {
		next = now.Add(time.Hour)
	}
	return next
}

// laterLocked queues the delayed frames that are due, in the order in which they were handed over.
func (c *client) laterLocked(now time.Time) {
	keep := c.later[:0]
	for _, d := range c.later {
		if now.Before(d.at) {
			keep = append(keep, d)
		} else {
			c.queueLocked(d.frame, nil, 0)
		}
	}
	c.later = keep
}

// read is the reader: it returns what ended the reading.
func (c *client) read() error {
	var message []byte // the fragments of one that is not complete
	for {
		f, err := readFrame(c.br, maxRequest)
		if err != nil && !errors.Is(err, errFrameTooBig) {
			return err
		}
		c.s.mu.Lock()
		switch {
		case err != nil || len(message)+len(f.payload) > maxRequest:
			c.s.violationLocked(c, RuleFrame, errFrameTooBig.Error())
			c.closeLocked(closeTooBig, "too big")
			c.finishSoonLocked()
		case f.op < opClose && f.masked:
			message = append(message, f.payload...)
			if f.fin {
				c.onMessageLocked(message)
				message = nil
			}
		default:
			c.onControlLocked(f)
		}
		c.s.mu.Unlock()
		if err != nil { // the rest of that frame cannot be told from the next
			_, _ = io.Copy(io.Discard, c.br)
			return err
		}
	}
}

// finishSoonLocked makes the writer end the connection with a FIN once it has written what is queued.
func (c *client) finishSoonLocked() {
	if !c.muted && !c.ended {
		c.hangUp = true
		c.wakeUp()
	}
}

func (c *client) onControlLocked(f frame) {
	switch {
	case c.muted:
	case !f.masked:
		c.s.violationLocked(c, RuleFrame, "not masked")
		c.closeLocked(closeProtocolError, "not masked")
	case f.op == opPing:
		c.queueLocked(appendFrame(nil, opPong, f.payload), nil, 0)
	case f.op == opPong:
		c.wsPongBy = time.Time{}
	case f.op == opClose:
		if !c.closing {
			c.rec.Why = "Close from the client"
			c.queueLocked(appendFrame(nil, opClose, f.payload), nil, 0)
			c.closing = true
		}
		c.finishSoonLocked()
	default:
		c.s.violationLocked(c, RuleFrame, fmt.Sprintf("opcode %d", f.op))
		c.closeLocked(closeProtocolError, "unknown opcode")
	}
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

func (c *client) onMessageLocked(message []byte) {
	if c.closing || c.muted {
		return
	}
	var r request
	if err := json.Unmarshal(message, &r); err != nil {
		c.s.violationLocked(c, RuleMessage, "not the JSON of a request")
		c.respondLocked("", "ERR_BADMESSAGE")
		return
	}
	switch r.Type {
	case "PING":
		c.onPingLocked()
	case "LISTEN", "UNLISTEN":
		c.onAskLocked(&r)
	default:
		c.s.violationLocked(c, RuleMessage, fmt.Sprintf("type %.40q", r.Type))
		c.respondLocked(r.Nonce, "ERR_BADMESSAGE")
	}
}

func (c *client) onPingLocked() {
	o, now := &c.s.o, time.Now()
	c.rec.Pings = appendBounded(c.rec.Pings, now)
	c.pingBy = after(now, o.Idle)
	if o.PongLoss > 0 && c.rand.Float64() < o.PongLoss {
		c.s.firedLocked(FaultPongLoss, c)
		return
	}
	if o.PongDelay > 0 {
		c.s.fired[FaultPongDelay]++
	}
	c.sendAfterLocked(o.PongDelay, plain{"PONG"})
}

func (c *client) onAskLocked(r *request) {
	o, topics, listen := &c.s.o, r.Data.Topics, r.Type == "LISTEN"
	ask := Ask{At: time.Now(), Type: r.Type, Topics: topics, Token: r.Data.Token != ""}
	if listen {
		c.firstListenBy = time.Time{}
	}
	if listen && o.TopicsPerListen > 0 && len(topics) > o.TopicsPerListen {
		ask.Error = "closed"
		c.rec.Asks = appendBounded(c.rec.Asks, ask)
		c.s.violationLocked(c, RuleBatch, fmt.Sprintf("%d topics in one LISTEN", len(topics)))
		c.finLocked("too many topics in one LISTEN")
		return
	}
	if listen {
		ask.Error = c.judgeLocked(r)
	} else if len(topics) == 0 {
		ask.Error = "ERR_BADMESSAGE"
	}
	c.rec.Asks = appendBounded(c.rec.Asks, ask)
	if ask.Error == "" {
		for _, name := range topics {
			if listen {
				c.s.listenLocked(c, name)
			} else {
				c.s.unlistenLocked(c, name)
			}
		}
		c.wakeUp() // the writer may have something to saturate it with
	}
	c.s.log.Info(strings.ToLower(r.Type), "conn", c.id, "topics", len(topics), "now", len(c.topics), "error", ask.Error)
	c.respondLocked(r.Nonce, ask.Error)
}

// judgeLocked returns the error that a LISTEN is answered with: one for all its topics.
func (c *client) judgeLocked(r *request) string {
	o := &c.s.o
	if len(r.Data.Topics) == 0 {
		c.s.violationLocked(c, RuleMessage, "LISTEN without topics")
		return "ERR_BADMESSAGE"
	}
	if o.ServerErrors > 0 && c.rand.Float64() < o.ServerErrors {
		c.s.firedLocked(FaultServerError, c)
		return "ERR_SERVER"
	}
	added, bad, unauthorised := 0, false, false
	seen := map[string]bool{}
	for _, name := range r.Data.Topics {
		if c.topics[name] == nil && !seen[name] {
			added++
		}
		seen[name] = true
		bad = bad || name == "" || matchesAny(o.BadTopics, name)
		if o.needsToken(name) {
			unauthorised = unauthorised || r.Data.Token == "" || o.Token != "" && r.Data.Token != o.Token
		} else if r.Data.Token != "" {
			c.s.violationLocked(c, RuleNeedlessToken, fmt.Sprintf("with %.100q", name))
		}
	}
	switch {
	case bad:
		return "ERR_BADTOPIC"
	case unauthorised:
		return "ERR_BADAUTH"
	case o.TopicsPerConnection > 0 && len(c.topics)+added > o.TopicsPerConnection:
		c.s.violationLocked(c, RuleTopics, fmt.Sprintf("%d topics on one connection", len(c.topics)+added))
		return o.TooManyTopics
	}
	return ""
}

func (o *PubSubOptions) needsToken(topic string) bool {
	for _, prefix := range o.TokenTopics {
		if strings.HasPrefix(topic, prefix) {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, topic string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, topic); ok && err == nil { // Check reports bad patterns
			return true
		}
	}
	return false
}

func (c *client) respondLocked(nonce, errorText string) {
	o := &c.s.o
	if o.ResponseLoss > 0 && c.rand.Float64() < o.ResponseLoss {
		c.s.firedLocked(FaultResponseLoss, c)
		return
	}
	if o.ResponseDelay > 0 {
		c.s.fired[FaultResponseDelay]++
	}
	c.sendAfterLocked(o.ResponseDelay, response{"RESPONSE", nonce, errorText})
}

func (c *client) sendAfterLocked(d time.Duration, v any) {
	frame := appendFrame(nil, opText, c.s.encodeLocked(v))
	if d <= 0 {
		c.queueLocked(frame, nil, 0)
		return
	}
	if len(c.later) < 1000 { // a client that floods is not answered for ever
		c.later = append(c.later, delayed{at: time.Now().Add(d), frame: frame})
	}
	c.wakeUp()
}

// encodeLocked writes v as the options want it.
func (s *PubSub) encodeLocked(v any) []byte {
	b := compactJSON(v)
	if s.o.Spaces {
		var spaced bytes.Buffer
		if err := json.Indent(&spaced, b, "", " "); err != nil {
			panic(fmt.Sprintf("sim: bug: spacing a message: %v", err))
		}
		b = bytes.ReplaceAll(spaced.Bytes(), []byte("\n"), nil)
	}
	if s.o.Newline {
		b = append(b, '\n')
	}
	return b
}

func compactJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sim: bug: encoding a message: %v", err))
	}
	return b
}
