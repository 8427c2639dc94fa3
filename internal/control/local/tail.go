package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"feedmux/internal/sink/tap"
	"feedmux/shard"
)

// How long a reader of events may leave what was sent to it unread: while the daemon runs, and when it ends.
const (
	slowest = 10 * time.Second
	atEnd   = time.Second
)

// Line is one line of a tail: an event, or how many were left out because the reader was too slow.
type Line struct {
	Time    time.Time   `json:"time,omitzero"` // when it was received
	Topic   shard.Topic `json:"topic,omitempty"`
	Subject string      `json:"subject,omitempty"`

	// One of these is the event's body.
	Payload json.RawMessage `json:"payload,omitempty"`        // it is JSON
	Text    string          `json:"payload_text,omitempty"`   // it is UTF-8
	Binary  []byte          `json:"payload_base64,omitempty"` // it is neither

	LeftOut uint64 `json:"left_out,omitempty"`
}

// lineOf is an event as a tail shows it.
func lineOf(e tap.Event) Line {
	l := Line{Time: e.Received.UTC(), Topic: e.Topic, Subject: e.Subject}
	switch {
	case json.Valid(e.Payload):
		l.Payload = e.Payload
	case utf8.Valid(e.Payload):
		l.Text = string(e.Payload)
	default:
		l.Binary = e.Payload
	}
	return l
}

// tail sends events until the reader leaves or is too slow, or the daemon ends.
func (h *handler) tail(w http.ResponseWriter, r *http.Request) {
	if err := only(w, r, http.MethodGet); err != nil {
		writeError(w, err)
		return
	}
	leave, err := enter(w, h.tails)
	if err != nil {
		writeError(w, err)
		return
	}
	defer leave()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeError(w, &Error{BadRequest, "", "reading the parameters: " + err.Error()})
		return
	}
	for key := range query {
		if key != "topic" {
			writeError(w, &Error{BadRequest, key, "there is no such parameter; there is topic"})
			return
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	reader := &reader{ctx, w, http.NewResponseController(w)}
	defer context.AfterFunc(h.end, func() {
		cancel()
		reader.conn.SetWriteDeadline(time.Now().Add(atEnd)) // who does not read holds the end up no longer
	})()

	stream, err := h.Daemon.Tail(ctx, r.PathValue("feed"), query["topic"])
	if err != nil {
		writeError(w, err)
		return
	}
	defer stream.Close()

	// The server's own bounds are for requests that end.
	if err := reader.conn.SetReadDeadline(time.Time{}); err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(reader, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for {
		// The first flush tells the reader that from here on nothing is missed.
		if out.Flush() != nil || reader.flush() != nil {
			return
		}
		events, leftOut, err := stream.Next(ctx)
		if err != nil {
			return
		}
		for _, e := range events {
			if lines.Encode(lineOf(e)) != nil {
				return
			}
		}
		if leftOut > 0 && lines.Encode(Line{LeftOut: leftOut}) != nil {
			return
		}
	}
}

// reader is who looks on: it has so long to read each piece.
type reader struct {
	ctx  context.Context // of the request
	w    http.ResponseWriter
	conn *http.ResponseController
}

// hurry gives the reader its time, unless the end has come meanwhile.
func (r *reader) hurry() error {
	if err := r.conn.SetWriteDeadline(time.Now().Add(slowest)); err != nil {
		return err
	}
	return r.ctx.Err()
}

func (r *reader) Write(b []byte) (int, error) {
	if err := r.hurry(); err != nil {
		return 0, err
	}
	return r.w.Write(b)
}

func (r *reader) flush() error {
	if err := r.hurry(); err != nil {
		return err
	}
	return r.conn.Flush()
}

// Body is the event's body as text, on one line where it is JSON; base64 where it is no text at all.
func (l Line) Body() string {
	switch {
	case l.Payload != nil:
		var one bytes.Buffer
		if json.Compact(&one, l.Payload) == nil {
			return one.String()
		}
		return string(l.Payload)
	case l.Binary != nil:
		return base64.StdEncoding.EncodeToString(l.Binary)
	}
	return l.Text
}
