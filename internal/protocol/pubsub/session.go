package pubsub

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// Why a message was skipped.
const (
	skipBinary       = "binary"        // PubSub is text
	skipMalformed    = "malformed"     // no JSON object, or one that lacks what its type must have
	skipUnknownNonce = "unknown_nonce" // an answer to nothing that is open, for example to a topic dropped since
	skipUnknownType  = "unknown_type"
)

// Nonces tell answers apart for people, too. Answers to an UNLISTEN change nothing, so their nonces are not kept.
const (
	listenNonce   = "listen-"
	unlistenNonce = "unlisten-"
)

// session is one life.
type session struct {
	needsToken func(shard.Topic) bool
	token      string                    // "": there is none
	redact     func(words string) string // nil: as the words are
	full       []string                  // what the upstream says to a topic too many
	frame      bool                      // events are published as whole frames

	live bool
	sent int            // frames with a nonce so far
	asks map[string]ask // by nonce
	scan scanner
}

// ask is a LISTEN that has no answer yet.
type ask struct {
	topics []shard.Topic // those that are neither settled nor dropped since; at least one
	batch  int           // how many topics the frame had: the answer is about all of them
}

// request is a LISTEN or an UNLISTEN.
type request struct {
	Type  string      `json:"type"`
	Nonce string      `json:"nonce"`
	Data  requestData `json:"data"`
}

type requestData struct {
	Topics    []shard.Topic `json:"topics"`
	AuthToken string        `json:"auth_token,omitempty"`
}

// Change sends the UNLISTENs first: they make the room that the LISTENs need.
func (s *session) Change(add []protocol.Topic, drop []shard.Topic, out *protocol.Out) {
	s.forget(drop)
	for topics := range slices.Chunk(drop, SubscribeBatch) {
		s.request("UNLISTEN", unlistenNonce, topics, "", out)
	}

	var public, private []shard.Topic
	for _, t := range add {
		if s.needsToken(t.Name) {
			private = append(private, t.Name)
		} else {
			public = append(public, t.Name)
		}
	}
	s.listen(public, "", out)
	if s.token != "" {
		s.listen(private, s.token, out)
	} else if len(private) > 0 {
		out.Settled = append(out.Settled, protocol.Settlement{
			Topics: private, Verdict: protocol.Refused, Reason: "needs a token, and there is none",
		})
	}
}

// listen keeps topics.
func (s *session) listen(topics []shard.Topic, token string, out *protocol.Out) {
	for topics := range slices.Chunk(topics, SubscribeBatch) {
		nonce := s.request("LISTEN", listenNonce, topics, token, out)
		out.Frames[len(out.Frames)-1].Asks = topics
		s.asks[nonce] = ask{topics: slices.Clone(topics), batch: len(topics)}
	}
}

func (s *session) request(kind, prefix string, topics []shard.Topic, token string, out *protocol.Out) (nonce string) {
	s.sent++
	nonce = prefix + strconv.Itoa(s.sent)
	payload, err := json.Marshal(request{Type: kind, Nonce: nonce, Data: requestData{Topics: topics, AuthToken: token}})
	if err != nil {
		panic("pubsub: bug: " + err.Error()) // strings always have a JSON form
	}
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: payload})
	return nonce
}

// Ping sends the application's own ping: the upstream wants that one.
func (s *session) Ping(out *protocol.Out) {
	out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: []byte(`{"type":"PING"}`)})
}

// Renew takes the token for the LISTENs to come. Those that were accepted stay.
func (s *session) Renew(e protocol.Endpoint) { s.token = e.Token }

// Message reads one frame. It never ends the life: nothing that the upstream sends is worth the other topics.
func (s *session) Message(kind protocol.Kind, msg []byte, out *protocol.Out) error {
	if kind != protocol.Text {
		out.Skip(skipBinary)
		return nil
	}
	if s.scan.message(msg) {
		s.onMessage(s.scan.topic, s.scan.body, msg, out)
		return nil
	}
	f, ok := decode(msg)
	if !ok {
		out.Skip(skipMalformed)
		return nil
	}
	switch f.kind {
	case "MESSAGE":
		s.onMessage([]byte(f.topic), []byte(f.body), msg, out)
	case "RESPONSE":
		s.onResponse(f.nonce, f.err, out)
	case "PONG":
		out.Pong = true
		s.alive(out)
	case "RECONNECT":
		out.Move = true
	case "AUTH_REVOKED":
		s.settle(f.topics, protocol.Refused, "AUTH_REVOKED", out)
	default:
		out.Skip(skipUnknownType)
	}
	return nil
}

func (s *session) onMessage(topic, body, msg []byte, out *protocol.Out) {
	if s.frame {
		body = msg
	}
	out.Events = append(out.Events, protocol.Event{Topic: topic, Payload: body})
	s.alive(out)
}

func (s *session) onResponse(nonce, word string, out *protocol.Out) {
	s.alive(out)
	if strings.HasPrefix(nonce, unlistenNonce) {
		return
	}
	asked, ok := s.asks[nonce]
	if !ok {
		out.Skip(skipUnknownNonce)
		return
	}
	delete(s.asks, nonce)
	s.settle(asked.topics, s.verdict(word, asked.batch), s.readable(word), out)
}

// verdict judges the answer to a LISTEN for n topics.
//
// The upstream's words are ERR_BADMESSAGE, ERR_BADAUTH, ERR_SERVER and ERR_BADTOPIC. What it says to the 51st topic was
// never written down, so an unknown word may mean a single topic too many: it is found by asking one by one, and then
// asked again later, since unknown is not final. Once somebody has seen what it says, options may name it.
func (s *session) verdict(word string, n int) protocol.Verdict {
	switch word {
	case "":
		return protocol.Confirmed
	case "ERR_SERVER":
		return protocol.Again
	}
	if n > 1 {
		return protocol.Split
	}
	switch word {
	case "ERR_BADTOPIC", "ERR_BADAUTH", "ERR_BADMESSAGE":
		return protocol.Refused
	}
	if slices.Contains(s.full, word) {
		return protocol.Full
	}
	return protocol.Again
}

// settle ends every ask for topics and keeps topics.
func (s *session) settle(topics []shard.Topic, v protocol.Verdict, reason string, out *protocol.Out) {
	s.forget(topics)
	out.Settled = append(out.Settled, protocol.Settlement{Topics: topics, Verdict: v, Reason: reason})
}

// forget takes topics out of the asks that are open, so that a late answer says nothing of them. That keeps asks within
// what is asked for now, whatever the upstream leaves unanswered.
func (s *session) forget(topics []shard.Topic) {
	if len(topics) == 0 || len(s.asks) == 0 {
		return
	}
	gone := make(map[shard.Topic]bool, len(topics))
	for _, t := range topics {
		gone[t] = true
	}
	for nonce, asked := range s.asks {
		asked.topics = slices.DeleteFunc(asked.topics, func(t shard.Topic) bool { return gone[t] })
		if len(asked.topics) == 0 {
			delete(s.asks, nonce)
		} else {
			s.asks[nonce] = asked
		}
	}
}

// alive is told of each frame that shows a working connection.
func (s *session) alive(out *protocol.Out) {
	out.Live = out.Live || !s.live
	s.live = true
}

// readable makes the upstream's word safe to print: short, on one line, and without the token, should it be quoted.
func (s *session) readable(word string) string {
	if s.redact != nil {
		word = s.redact(word)
	}
	if s.token != "" {
		word = strings.ReplaceAll(word, s.token, "[token]")
	}
	word = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, word)
	const most = 100
	for i := range word {
		if i > most {
			return word[:i] + "…"
		}
	}
	return word
}
