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
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a request's body.
const (
	maxBody  = 1 << 20
	maxDepth = 8
)

// noBody refuses a body where there is nothing to say.
func noBody(r *http.Request) error {
	if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n > 0 {
		return &Error{BadRequest, "", "this request takes no body"}
	}
	return nil
}

// readChange reads a request to change topics. It takes no more liberties than the configuration's own reader: what is not
// understood is refused with its place.
func readChange(r *http.Request) (Change, error) {
	c := Change{Feed: r.PathValue("feed"), Verb: Verb(r.PathValue("verb"))}
	if c.Verb != Add && c.Verb != Remove && c.Verb != Set {
		return c, &Error{NotFound, "", fmt.Sprintf("%q: there are add, remove and set", c.Verb)}
	}
	body, err := readBody(r)
	if err != nil {
		return c, err
	}
	tree, err := parse(body)
	if err != nil {
		return c, err
	}
	if c.Topics, err = topicsIn(tree); err != nil {
		return c, err
	}
	if len(c.Topics) == 0 && c.Verb != Set {
		return c, &Error{BadRequest, "topics", "at least one is needed"}
	}
	return c, nil
}

func readBody(r *http.Request) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &Error{wrongType, "Content-Type", "must be application/json"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" {
		return nil, &Error{wrongType, "Content-Encoding", "must not be set: send the JSON as it is"}
	}
	body, err := io.ReadAll(r.Body)
	var beyond *http.MaxBytesError
	switch {
	case errors.As(err, &beyond):
		return nil, &Error{tooLarge, "", fmt.Sprintf("the body is longer than %d bytes: send the topics in parts", maxBody)}
	case err != nil:
		return nil, &Error{BadRequest, "", "reading the body: " + err.Error()}
	}
	return body, nil
}

// topicsIn reads {"topics": […]}.
func topicsIn(tree any) ([]Topic, error) {
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, &Error{BadRequest, "", `the body must be an object: {"topics": […]}`}
	}
	for key := range object {
		if key != "topics" {
			return nil, &Error{BadRequest, key, "there is no such field; there is topics"}
		}
	}
	list, ok := object["topics"].([]any)
	if !ok {
		return nil, &Error{BadRequest, "topics", "must be a list"}
	}
	topics := make([]Topic, len(list))
	seen := make(map[string]int, len(list))
	for i, v := range list {
		field := fmt.Sprintf("topics[%d]", i)
		var err error
		if topics[i], err = topicIn(field, v); err != nil {
			return nil, err
		}
		if first, twice := seen[topics[i].Name]; twice {
			return nil, &Error{BadRequest, field, fmt.Sprintf("%q is topics[%d] already", topics[i].Name, first)}
		}
		seen[topics[i].Name] = i
	}
	return topics, nil
}

// topicIn reads a topic: its name, or an object with its name, priority and the protocol's own options.
func topicIn(field string, v any) (t Topic, err error) {
	switch v := v.(type) {
	case string:
		t.Name = v
	case map[string]any:
		for key, value := range v {
			ok := true
			switch key {
			case "topic":
				t.Name, ok = value.(string)
				if !ok {
					return t, &Error{BadRequest, field + ".topic", "must be a string"}
				}
			case "priority":
				var n int64
				n, ok = value.(int64)
				if !ok || n != int64(int32(n)) {
					return t, &Error{BadRequest, field + ".priority", "must be a whole number of at most 32 bits"}
				}
				t.Priority = int(n)
			default:
				if t.Options == nil {
					t.Options = make(map[string]any)
				}
				t.Options[key] = value
			}
		}
	default:
		return t, &Error{BadRequest, field, `must be a string, or an object like {"topic": "…", "priority": 5}`}
	}
	if t.Name == "" {
		return t, &Error{BadRequest, field, "has no name"}
	}
	return t, nil
}

// parse reads JSON into string, bool, int64, float64, []any and map[string]any. Unlike encoding/json alone it refuses what
// would be guessed at: keys given twice, broken UTF-8, null, numbers that do not fit.
func parse(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, &Error{BadRequest, "", "the body is not UTF-8"}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		text := "the body is no JSON: " + err.Error()
		if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
			text += fmt.Sprintf(" (at byte %d)", at.Offset)
		}
		return nil, &Error{BadRequest, "", text}
	}
	p := parser{json.NewDecoder(bytes.NewReader(body))}
	p.UseNumber()
	return p.value("", 0)
}

// parser goes through JSON that is known to be well formed, so its Token never fails.
type parser struct{ *json.Decoder }

func (p parser) value(field string, depth int) (any, error) {
	token, err := p.Token()
	if err != nil {
		return nil, &Error{BadRequest, field, err.Error()}
	}
	switch token := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, &Error{BadRequest, field, fmt.Sprintf("is more than %d levels deep", maxDepth)}
		}
		if token == '[' {
			return p.list(field, depth+1)
		}
		return p.object(field, depth+1)
	case json.Number:
		return number(field, token.String())
	case nil:
		return nil, &Error{BadRequest, field, "null says nothing: leave it out"}
	}
	return token, nil // string or bool
}

func (p parser) list(field string, depth int) (any, error) {
	list := []any{}
	for p.More() {
		v, err := p.value(fmt.Sprintf("%s[%d]", field, len(list)), depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := p.Token() // ]
	return list, err
}

func (p parser) object(field string, depth int) (any, error) {
	object := make(map[string]any)
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return nil, &Error{BadRequest, field, err.Error()}
		}
		key := token.(string) // a key can be nothing else
		at := strings.TrimPrefix(field+"."+key, ".")
		if _, twice := object[key]; twice {
			return nil, &Error{BadRequest, at, "is given twice"}
		}
		if object[key], err = p.value(at, depth); err != nil {
			return nil, err
		}
	}
	_, err := p.Token() // }
	return object, err
}

func number(field, text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") || math.IsInf(f, 0) {
		return nil, &Error{BadRequest, field, text + " is too large a number"}
	}
	return f, nil
}
