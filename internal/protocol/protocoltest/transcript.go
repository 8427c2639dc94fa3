package protocoltest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// transcript is a file as it stands.
type transcript struct {
	steps []step
	tail  []string // comments after the last step
}

// step is one input, and what the session answers to it.
type step struct {
	lead    []string // comments and blank lines before the input
	line    int      // of the input, from 1
	source  string   // the input as it is written
	do      input
	answers []string
}

// input is what is done to the session: exactly one of the fields is set.
type input struct {
	want, drop []shard.Topic
	ping       bool
	message    *Message
}

// Message is one message from the upstream.
type Message struct {
	Kind protocol.Kind
	Data []byte
}

// answers begin with one of these words. What follows is compared as text.
var answers = []string{">", "live", "pong", "move", "settled", "event", "odd", "words", "full", "skipped", "error"}

// parse reads a transcript. String undoes it, byte for byte.
func parse(text string) (*transcript, error) {
	t := &transcript{}
	var lead []string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		word, _, _ := strings.Cut(line, " ")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			lead = append(lead, line)
		case slices.Contains(answers, word):
			if len(t.steps) == 0 || len(lead) > 0 {
				return nil, fmt.Errorf("line %d: an answer must follow its input or another answer", i+1)
			}
			last := &t.steps[len(t.steps)-1]
			last.answers = append(last.answers, line)
		default:
			do, err := parseInput(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			t.steps = append(t.steps, step{lead: lead, line: i + 1, source: line, do: do})
			lead = nil
		}
	}
	t.tail = lead
	return t, nil
}

func parseInput(line string) (do input, err error) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "want":
		do.want, err = parseTopics(rest)
	case "drop":
		do.drop, err = parseTopics(rest)
	case "ping":
		do.ping = true
		if rest != "" {
			err = fmt.Errorf("ping stands alone")
		}
	case "<":
		do.message, err = parseMessage(rest)
	default:
		err = fmt.Errorf("unknown word %q", verb)
	}
	return do, err
}

func parseTopics(rest string) (topics []shard.Topic, err error) {
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimLeft(rest, " ") {
		var topic string
		if rest[0] == '"' {
			if topic, err = strconv.QuotedPrefix(rest); err != nil {
				return nil, fmt.Errorf("topic %s: %w", rest, err)
			}
		} else {
			topic, _, _ = strings.Cut(rest, " ")
		}
		rest = rest[len(topic):]
		if topic, err = unquote(topic); err != nil {
			return nil, err
		}
		topics = append(topics, shard.Topic(topic))
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("at least one topic is needed")
	}
	return topics, nil
}

func parseMessage(rest string) (*Message, error) {
	kind, data, _ := strings.Cut(rest, " ")
	switch kind {
	case "text":
		data, err := unquote(data)
		return &Message{protocol.Text, []byte(data)}, err
	case "binary":
		data, err := hex.DecodeString(data)
		return &Message{protocol.Binary, data}, err
	}
	return nil, fmt.Errorf("a message is text or binary, not %q", kind)
}

func (t *transcript) String() string {
	var lines []string
	for _, s := range t.steps {
		lines = append(lines, s.lead...)
		lines = append(lines, s.source)
		lines = append(lines, s.answers...)
	}
	lines = append(lines, t.tail...)
	return strings.Join(lines, "\n") + "\n"
}

// render says in lines what a session said, in the order of the fields of a protocol.Out.
func render(out *protocol.Out, err error) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, f := range out.Frames {
		switch f.Kind {
		case protocol.Binary:
			say("> binary %x", f.Payload)
		case protocol.Ping:
			say("> ping")
		default:
			say("> %s", text(f.Payload))
		}
	}
	if out.Live {
		say("live")
	}
	if out.Pong {
		say("pong")
	}
	if out.Move {
		say("move")
	}
	for _, s := range out.Settled {
		for _, t := range s.Topics {
			line := "settled " + word(t) + " " + verdicts[s.Verdict]
			if s.Reason != "" {
				line += " " + text(s.Reason)
			}
			lines = append(lines, line)
		}
	}
	for _, e := range out.Events {
		line := "event " + word(e.Topic)
		for _, w := range e.Wider {
			line += " or=" + word(w)
		}
		for _, v := range e.Values {
			line += " value=" + word(v)
		}
		if e.ID != nil {
			line += " id=" + word(e.ID)
		}
		if e.Position != nil {
			line += " position=" + word(e.Position)
		}
		if !e.Sent.IsZero() {
			line += " sent=" + e.Sent.UTC().Format(time.RFC3339Nano)
		}
		lines = append(lines, line+" "+text(e.Payload))
	}
	for _, o := range out.Oddities {
		say("odd %s %s", word(o.Topic), word(o.Kind))
	}
	for _, w := range out.Words {
		say("words %s %s", word(w.Kind), text(w.Text))
	}
	if out.Full {
		say("full")
	}
	for _, s := range out.Skipped {
		if s.N == 1 {
			say("skipped %s", word(s.Reason))
		} else {
			say("skipped %s %d", word(s.Reason), s.N)
		}
	}
	if err != nil {
		say("error %s", text(err.Error()))
	}
	return lines
}

var verdicts = [...]string{
	protocol.Confirmed: "confirmed", protocol.Refused: "refused", protocol.Split: "split", protocol.Again: "again",
	protocol.Full: "full",
}

// text is s as the rest of a line.
func text[T ~string | ~[]byte](s T) string {
	str := string(s)
	if str == "" || str[0] == '"' || strings.TrimSpace(str) != str || !utf8.ValidString(str) ||
		strings.ContainsFunc(str, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(str)
	}
	return str
}

// word is s as one word of a line.
func word[T ~string | ~[]byte](s T) string {
	if strings.Contains(string(s), " ") {
		return strconv.Quote(string(s))
	}
	return text(s)
}

func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	plain, err := strconv.Unquote(s)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	return plain, nil
}
