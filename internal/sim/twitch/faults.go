package twitch

import (
	"fmt"
	"slices"
	"strings"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// The faults of PubSub, beside those that every upstream can have.
const (
	FaultCap           upstream.Fault = "cap"
	FaultDuplicate     upstream.Fault = "duplicate"
	FaultGarbage       upstream.Fault = "garbage"
	FaultOversize      upstream.Fault = "oversize"
	FaultPoison        upstream.Fault = "poison"
	FaultPongDelay     upstream.Fault = "pong_delay"
	FaultPongLoss      upstream.Fault = "pong_loss"
	FaultReconnect     upstream.Fault = "reconnect"
	FaultResponseDelay upstream.Fault = "response_delay"
	FaultResponseLoss  upstream.Fault = "response_loss"
	FaultRevoke        upstream.Fault = "revoke"
	FaultServerError   upstream.Fault = "server_error"
	FaultUnknown       upstream.Fault = "unknown"
)

func (p *PubSub) plansLocked() []upstream.Plan {
	o := &p.o
	return []upstream.Plan{
		{Fault: FaultDuplicate, Wanted: o.Duplicate > 0},
		{Fault: FaultUnknown, Wanted: o.Unknown > 0},
		{Fault: FaultPongDelay, Wanted: o.PongDelay > 0},
		{Fault: FaultPongLoss, Wanted: o.PongLoss > 0},
		{Fault: FaultResponseDelay, Wanted: o.ResponseDelay > 0},
		{Fault: FaultResponseLoss, Wanted: o.ResponseLoss > 0},
		{Fault: FaultServerError, Wanted: o.ServerErrors > 0},
		{Fault: FaultPoison, Wanted: len(o.PoisonTopics) > 0},
		{Fault: FaultReconnect, Every: o.ReconnectEvery, Strike: reconnectLocked},
		{Fault: FaultGarbage, Every: o.GarbageEvery, Strike: garbageLocked},
		{Fault: FaultOversize, Every: o.OversizeEvery, Strike: oversizeLocked},
		{Fault: FaultRevoke, Every: o.RevokeEvery, Strike: revokeOneLocked},
	}
}

// Reconnect asks the client of connection id to move, and closes the connection after ReconnectGrace. It returns false
// where there is no such open connection, as all these methods do.
func (p *PubSub) Reconnect(id int) bool { return p.Inject(FaultReconnect, id, reconnectLocked) }

// Garbage sends a text message that is not JSON: the first half of one that is.
func (p *PubSub) Garbage(id int) bool { return p.Inject(FaultGarbage, id, garbageLocked) }

// Oversize lets an event of OversizeBytes happen on the connection's first topic, by name, and sends it to nobody else.
func (p *PubSub) Oversize(id int) bool { return p.Inject(FaultOversize, id, oversizeLocked) }

// Revoke takes topics from the connection and says so with AUTH_REVOKED. Topics that it does not have are named all the
// same.
func (p *PubSub) Revoke(id int, topics ...string) bool {
	return p.Inject(FaultRevoke, id, func(c *upstream.Client) bool {
		clientOf(c).revokeLocked(topics)
		return true
	})
}

// SetCap makes connection id refuse, as if TopicsPerConnection were n, the LISTEN that would bring it more topics; what it
// has stays. The client breaks no rule, since it cannot know. 0 ends that. The connection may be one that is yet to
// come; false: it has ended.
func (p *PubSub) SetCap(id, n int) bool {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if n <= 0 {
		delete(p.caps, id)
		return !p.PastLocked(id)
	}
	if !p.ArmLocked(FaultCap, id) {
		return false
	}
	p.caps[id] = n
	return true
}

func reconnectLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	c.sayLocked(0, plain{"RECONNECT"})
	c.reconnect.SetLocked(c.p.o.ReconnectGrace)
	return true
}

func garbageLocked(c *upstream.Client) bool {
	whole := Frames()[0].Text
	c.QueueLocked(websocket.Text([]byte(whole[:len(whole)/2])), nil)
	return true
}

func oversizeLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	if len(c.topics) == 0 {
		return false
	}
	e, t := c.p.envelopeLocked(), c.topics[c.topicNamesLocked()[0]]
	t.happened++
	head, tail := e.head+t.quoted+e.middle, `\"}`+e.tail
	body := fmt.Sprintf(`{\"type\":\"viewcount\",\"viewers\":%d,\"padding\":\"`, t.happened)
	body += strings.Repeat("x", max(0, c.p.o.OversizeBytes-len(head)-len(body)-len(tail)))
	c.QueueLocked(websocket.Text([]byte(head+body+tail)), c.sentEventLocked(t, t.happened, []byte(body+`\"}`)))
	return true
}

// revokeOneLocked revokes the first topic that needs a token.
func revokeOneLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	names := c.topicNamesLocked()
	i := slices.IndexFunc(names, c.p.o.needsToken)
	if i < 0 {
		return false
	}
	c.revokeLocked(names[i : i+1])
	return true
}

func (c *client) revokeLocked(topics []string) {
	for _, name := range topics {
		c.p.unlistenLocked(c, name)
	}
	type data struct {
		Topics []string `json:"topics"`
	}
	c.sayLocked(0, struct {
		Type string `json:"type"`
		Data data   `json:"data"`
	}{"AUTH_REVOKED", data{topics}})
}
