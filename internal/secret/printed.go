package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxSeconds is the last second of the year 9999: what is later was not counted in seconds.
const maxSeconds = 253402300799

var (
	errNoText    = errors.New("what it printed is not one line of UTF-8 text")
	errNoToken   = errors.New(`what it printed begins as JSON does, but is no object with a text "token"`)
	errNoExpires = errors.New(`"expires_at" in what it printed is neither a time as of RFC 3339 nor Unix seconds`)
)

// parse finds the secret in what a command printed: all of it, but for white space around it; or, in what begins with {,
// the token of the JSON object, and when it expires (zero: that is not said). Errors show nothing of it.
func parse(text []byte) (value string, expires time.Time, err error) {
	text = bytes.TrimSpace(text)
	value = string(text)
	if bytes.HasPrefix(text, []byte("{")) {
		var object struct {
			Token   *string         `json:"token"`
			Expires json.RawMessage `json:"expires_at"`
		}
		if err := json.Unmarshal(text, &object); err != nil || object.Token == nil {
			return "", time.Time{}, errNoToken
		}
		if expires, err = parseTime(object.Expires); err != nil {
			return "", time.Time{}, err
		}
		value = strings.TrimSpace(*object.Token)
	}
	switch {
	case value == "":
		return "", time.Time{}, ErrEmpty
	case !utf8.Valid(text) || strings.ContainsFunc(value, unicode.IsControl):
		return "", time.Time{}, errNoText
	}
	return value, expires, nil
}

func parseTime(text json.RawMessage) (time.Time, error) {
	var at *time.Time
	var seconds float64
	if len(text) == 0 {
		return time.Time{}, nil
	}
	if json.Unmarshal(text, &at) == nil {
		if at == nil { // null
			return time.Time{}, nil
		}
		return *at, nil
	}
	if json.Unmarshal(text, &seconds) != nil || seconds < 1 || seconds > maxSeconds {
		return time.Time{}, errNoExpires
	}
	return time.Unix(int64(seconds), 0), nil
}
