package scaiwave

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"feedmux/internal/protocol"
)

// mostEvents is how many events the upstream gives at a time. It bounds what is made of one answer, whatever it holds.
const mostEvents = 500

// Request asks /v1/sync for what came after a position. It never asks for a wait of nothing: whether the upstream takes that
// is not known, and it might well be taken for no answer to the question, which is 30 s.
func (p *Protocol) Request(e protocol.Endpoint, after []byte, most int, wait time.Duration) (*http.Request, error) {
	const doing = "making a request for /v1/sync: "
	if !isPosition(after) {
		return nil, errors.New(doing + "what it is to begin after is no position")
	}
	u, err := url.Parse(e.URL) // the error would quote the token
	if err != nil {
		return nil, errors.New(doing + "the stream's address is no URL")
	}
	scheme := "https"
	if u.Scheme == "ws" {
		scheme = "http"
	}
	query := url.Values{
		"since":   {string(after)},
		"limit":   {strconv.Itoa(min(most, mostEvents))},
		"timeout": {strconv.FormatInt(max(wait.Milliseconds(), 1), 10)},
	}
	address := url.URL{Scheme: scheme, Host: u.Host, Path: syncPath, RawQuery: query.Encode()}
	r, err := http.NewRequest(http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, errors.New(doing + "the stream's host cannot be asked")
	}
	if e.Header != nil {
		r.Header = e.Header.Clone()
	}
	r.Header.Set("Authorization", "Bearer "+e.Token)
	r.Header.Set("Accept", "application/json")
	return r, nil
}

// NeedsLife holds where only one tenant will do: hello names it, and /v1/sync does not.
func (p *Protocol) NeedsLife() bool { return p.opts.Tenant != "" }

// Page reads an answer. Events that cannot be read, or have no position, are left out and counted in p.Skipped; bytes that
// are no UTF-8 become U+FFFD; what is out of order is put in order. An error means that the answer is not what
// is documented.
//
// next_cursor is followed only where nothing else leads on. The documented example has one that is larger than the position of
// the last event beside it, so it may well name the first event to come, which a request never gets that names it: one would
// be lost with each page.
func (p *Protocol) Page(body []byte, page *protocol.Page) error {
	const doing = "reading an answer of /v1/sync: "
	*page = protocol.Page{Events: page.Events[:0]}
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	answer, ok := parse(body)
	if !ok {
		return errors.New(doing + "it is not JSON")
	}
	data := member(answer, "data")
	events := member(data, "events")
	if len(events) == 0 || events[0] != '[' {
		return errors.New(doing + "it has no list data.events")
	}
	page.More = string(member(data, "has_more")) == "true"

	var m memory
	var r record
	for w := (walk{in: events}); w.next(); {
		if len(page.Events)+page.Skipped == mostEvents {
			page.More = true
			break
		}
		r.read(object(w.value), &syncNames)
		if e, ok := m.event(&r); ok && e.Position != nil {
			page.Events = append(page.Events, e)
		} else {
			page.Skipped++
			if r.members[thePosition] != nil {
				page.Missed++
			}
		}
	}
	slices.SortStableFunc(page.Events, func(a, b protocol.Event) int { return p.Compare(a.Position, b.Position) })
	if len(page.Events) > 0 {
		return nil
	}
	next := member(data, "next_cursor")
	switch {
	case !page.More && page.Skipped == 0: // nothing came
	case isPosition(next):
		page.Next = next
	case page.More:
		return errors.New(doing + "it has no event that can be used, and no data.next_cursor to go on from")
	}
	return nil
}

// object is value if it is one.
func object(value []byte) []byte {
	if value[0] != '{' {
		return nil
	}
	return value
}

// Denied holds for a token that is not accepted, or not for this. Other refusals have other causes (SW_NOT_MEMBER).
func (p *Protocol) Denied(status int, body []byte) bool {
	switch status {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
		answer, _ := parse(body)
		code, _ := text(member(member(answer, "error"), "code"))
		return strings.HasPrefix(string(code), "SW_AUTH_")
	}
	return false
}

// IsPosition holds for a number in the one spelling that Compare relies on.
func (p *Protocol) IsPosition(at []byte) bool { return isPosition(at) }

// Compare compares positions as the numbers that they are.
func (p *Protocol) Compare(a, b []byte) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c // they have no leading zeros
	}
	return bytes.Compare(a, b)
}

// Before is one less: a request does not get the event that it names. Before 0 there is nothing: that is the beginning of the
// stream, whose first event has 1.
func (p *Protocol) Before(position []byte) []byte {
	n, err := strconv.ParseInt(string(position), 10, 64)
	if err != nil || n == 0 {
		return []byte("0")
	}
	return strconv.AppendInt(nil, n-1, 10)
}
