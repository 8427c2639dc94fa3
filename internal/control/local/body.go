package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a request's body.
const (
	maxBody   = 1 << 20
	maxDepth  = 8
	maxValues = 100 // of one topic's options
)

// bodyOf reads all of a request's body. The server's own bound says how long it may take.
func bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= maxBody {
		body.Grow(int(n) + bytes.MinRead)
	}
	_, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, maxBody))
	var beyond *http.MaxBytesError
	switch {
	case errors.As(err, &beyond):
		return nil, &Error{tooLarge, "", fmt.Sprintf("the body is longer than %d bytes: send the topics in parts", maxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Error{tooSlow, "", "the body did not come in time"}
	case err != nil:
		return nil, &Error{BadRequest, "", "reading the body: " + err.Error()}
	}
	return body.Bytes(), nil
}

// noBody refuses a body where there is nothing to say.
func noBody(body []byte) error {
	if len(body) > 0 {
		return &Error{BadRequest, "", "this request takes no body"}
	}
	return nil
}

// readChange reads a request to change topics. It takes no more liberties than the configuration's own reader: what is not
// understood is refused with its place.
func readChange(r *http.Request, body []byte) (Change, error) {
	c := Change{Feed: r.PathValue("feed"), Verb: Verb(r.PathValue("verb"))}
	if c.Verb != Add && c.Verb != Remove && c.Verb != Set {
		return c, &Error{NotFound, "", fmt.Sprintf("%q: there are add, remove and set", c.Verb)}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return c, &Error{wrongType, "Content-Type", "must be application/json"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" {
		return c, &Error{wrongType, "Content-Encoding", "must not be set: send the JSON as it is"}
	}
	var err error
	if c.Topics, err = topicsIn(body); err != nil {
		return c, err
	}
	if len(c.Topics) == 0 && c.Verb != Set {
		return c, &Error{BadRequest, "topics", "at least one is needed"}
	}
	return c, nil
}

// topicsIn reads {"topics": […]}. The first topic that is bad ends it, so that no more is made of a body than what is kept of
// it. Unlike encoding/json alone it refuses what would be guessed at: keys given twice, broken UTF-8, null, numbers that do
// not fit.
func topicsIn(body []byte) (topics []Topic, err error) {
	if err := wellFormed(body); err != nil {
		return nil, err
	}
	p := parser{Decoder: json.NewDecoder(bytes.NewReader(body))}
	p.UseNumber()
	if p.next() != json.Delim('{') {
		return nil, &Error{BadRequest, "", `the body must be an object: {"topics": […]}`}
	}
	found := false
	for p.More() {
		switch key := p.key(); {
		case key != "topics":
			return nil, &Error{BadRequest, clip(key), "there is no such field; there is topics"}
		case found:
			return nil, &Error{BadRequest, key, "is given twice"}
		}
		found = true
		if topics, err = p.topics(); err != nil {
			return nil, within("topics", err)
		}
	}
	if !found {
		return nil, notAList("topics")
	}
	return topics, nil
}

func notAList(field string) error { return &Error{BadRequest, field, "must be a list"} }

// wellFormed says what is wrong with text that is no JSON.
func wellFormed(body []byte) error {
	if !utf8.Valid(body) {
		return &Error{BadRequest, "", "the body is not UTF-8"}
	}
	var whole json.RawMessage
	err := json.Unmarshal(body, &whole)
	if err == nil {
		return nil
	}
	text := "the body is no JSON: " + err.Error()
	if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
		text += fmt.Sprintf(" (at byte %d)", at.Offset)
	}
	return &Error{BadRequest, "", text}
}

// parser goes through JSON that is known to be well formed. Fields in its errors begin where it was when it was called.
type parser struct {
	*json.Decoder
	values int // of the topic that is being read
}

// next never fails, since what it reads is well formed.
func (p *parser) next() json.Token {
	token, _ := p.Token()
	return token
}

// key reads the name of a member; it can be nothing else.
func (p *parser) key() string {
	key, _ := p.next().(string)
	return key
}

func (p *parser) topics() ([]Topic, error) {
	if p.next() != json.Delim('[') {
		return nil, notAList("")
	}
	topics := []Topic{}
	seen := make(map[string]int)
	for i := 0; p.More(); i++ {
		t, err := p.topic()
		if err != nil {
			return nil, within(index(i), err)
		}
		if first, twice := seen[t.Name]; twice {
			return nil, &Error{BadRequest, index(i), fmt.Sprintf("%q is topics[%d] already", clip(t.Name), first)}
		}
		seen[t.Name] = i
		topics = append(topics, t)
	}
	p.next() // ]
	return topics, nil
}

// topic reads a topic: its name, or an object with its name, priority and the protocol's own options.
func (p *parser) topic() (t Topic, err error) {
	p.values = 0
	switch token := p.next().(type) {
	case string:
		t.Name = token
	case json.Delim:
		if token != '{' {
			return t, notATopic()
		}
		if t, err = p.table(); err != nil {
			return t, err
		}
	case nil:
		return t, isNull()
	default:
		return t, notATopic()
	}
	if t.Name == "" {
		return t, &Error{BadRequest, "", "has no name"}
	}
	return t, nil
}

// table reads what follows the { of a topic.
func (p *parser) table() (t Topic, err error) {
	all, err := p.object(3) // the body, its list, the topic
	if err != nil {
		return t, err
	}
	for key, value := range all {
		switch key {
		case "topic":
			name, ok := value.(string)
			if !ok {
				return t, &Error{BadRequest, ".topic", "must be a string"}
			}
			t.Name = name
		case "priority":
			n, ok := value.(int64)
			if !ok || n != int64(int32(n)) {
				return t, &Error{BadRequest, ".priority", "must be a whole number of at most 32 bits"}
			}
			t.Priority = int(n)
		}
	}
	delete(all, "topic")
	delete(all, "priority")
	if len(all) > 0 {
		t.Options = all
	}
	return t, nil
}

// value reads string, bool, int64, float64, []any or map[string]any. depth is how many lists and objects it is in.
func (p *parser) value(depth int) (any, error) {
	if p.values++; p.values > maxValues {
		return nil, &Error{BadRequest, "", fmt.Sprintf("is one more than the %d values that a topic may have", maxValues)}
	}
	switch token := p.next().(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, &Error{BadRequest, "", fmt.Sprintf("is more than %d levels deep", maxDepth)}
		}
		if token == '[' {
			return p.list(depth + 1)
		}
		return p.object(depth + 1)
	case json.Number:
		return number(token.String())
	case nil:
		return nil, isNull()
	default:
		return token, nil // string or bool
	}
}

func (p *parser) list(depth int) (any, error) {
	list := []any{}
	for p.More() {
		v, err := p.value(depth)
		if err != nil {
			return nil, within(index(len(list)), err)
		}
		list = append(list, v)
	}
	p.next() // ]
	return list, nil
}

func (p *parser) object(depth int) (map[string]any, error) {
	object := make(map[string]any)
	for p.More() {
		key := p.key()
		if _, twice := object[key]; twice {
			return nil, &Error{BadRequest, "." + clip(key), "is given twice"}
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, within("."+clip(key), err)
		}
		object[key] = v
	}
	p.next() // }
	return object, nil
}

func number(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") || math.IsInf(f, 0) {
		return nil, &Error{BadRequest, "", clip(text) + " is too large a number"}
	}
	return f, nil
}

func notATopic() error {
	return &Error{BadRequest, "", `must be a string, or an object like {"topic": "…", "priority": 5}`}
}

func isNull() error { return &Error{BadRequest, "", "null says nothing: leave it out"} }

// within is err, an *Error, with its field as seen from outside of where it is.
func within(outer string, err error) error {
	var inner *Error
	if !errors.As(err, &inner) {
		return err
	}
	return &Error{inner.Kind, outer + inner.Field, inner.Text}
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// clip is the begin of what somebody sent, long enough to find it by: an answer need not be as long as what it refuses.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
