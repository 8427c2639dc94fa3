package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds what is read of an answer: a ledger of very many topics.
const maxAnswer = 256 << 20

// Client asks the daemon of this machine. It looks for it with every connection, so it outlives a restart. Its methods may
// be called from any goroutine. Their errors are for people; an [Error] is the daemon's no.
type Client struct{ http http.Client }

// NewClient makes a client of the daemon at socket, or where socket is empty, of the first that answers at
// $FEEDMUX_SOCKET, in $RUNTIME_DIRECTORY, /run/feedmux or the state directory. It connects to nobody yet.
func NewClient(socket string, getenv func(string) string) *Client {
	paths := places(socket, getenv)
	return &Client{http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, paths) },
		DisableKeepAlives: true, // a command asks seldom
	}}}
}

// Status returns the JSON of /api/status, asked with query.
func (c *Client) Status(ctx context.Context, query url.Values) ([]byte, error) {
	res, err := c.send(ctx, http.MethodGet, "/api/status", query, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading feedmux's answer: %w", err)
	}
	return body, nil
}

// Topics lists every wanted topic of a feed.
func (c *Client) Topics(ctx context.Context, feed string) ([]TopicEntry, error) {
	var answer struct{ Topics []TopicEntry }
	err := c.ask(ctx, http.MethodGet, "/v1/topics/"+url.PathEscape(feed), nil, &answer)
	return answer.Topics, err
}

// ChangeTopics changes a feed's run-time topics.
func (c *Client) ChangeTopics(ctx context.Context, change Change) (done ChangeResult, err error) {
	topics := make([]any, len(change.Topics))
	for i, t := range change.Topics {
		topics[i] = t.Value()
	}
	path := "/v1/topics/" + url.PathEscape(change.Feed) + "/" + url.PathEscape(string(change.Verb))
	err = c.ask(ctx, http.MethodPost, path, map[string][]any{"topics": topics}, &done)
	return done, err
}

// Renew orders every connection of a feed to be handed over to a new one.
func (c *Client) Renew(ctx context.Context, feed string) error {
	return c.ask(ctx, http.MethodPost, "/v1/renew/"+url.PathEscape(feed), nil, &struct{}{})
}

// Reload makes the daemon read its configuration again. A result with Problems means that nothing was changed.
func (c *Client) Reload(ctx context.Context) (done ReloadResult, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/reload", nil, &done)
	return done, err
}

// Tail calls each for every line until ctx ends, the daemon does, or each fails: it returns that error, and nil where the
// daemon ended.
func (c *Client) Tail(ctx context.Context, feed string, topics []string, each func(Line) error) error {
	res, err := c.send(ctx, http.MethodGet, "/v1/tail/"+url.PathEscape(feed), url.Values{"topic": topics}, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for lines := json.NewDecoder(res.Body); ; {
		var l Line
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("reading events: %w", err)
		}
		if err := each(l); err != nil {
			return err
		}
	}
}

// answerWithin is how long an answer may take: that to a reload waits while feeds that are taken away close their connections.
const answerWithin = time.Minute

// ask sends body as JSON, unless it is nil, and reads the answer into v.
func (c *Client) ask(ctx context.Context, method, path string, body, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	res, err := c.send(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("reading feedmux's answer: %w", err)
	}
	return nil
}

// send returns the answer of a request that was not refused.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path+"?"+query.Encode(), content)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if about := (*url.Error)(nil); errors.As(err, &about) {
			err = about.Err // else it would name a URL that says nothing to anybody
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("feedmux is there, and does not answer (docs/troubleshooting.md: A loop does not answer); " +
				"what it was asked for it may still do")
		}
		return nil, err
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusUnprocessableEntity {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what came of it says enough
	var r refusal
	if json.Unmarshal(text, &r) != nil || r.Error == "" {
		r.Error = fmt.Sprintf("feedmux answered %s: %s", res.Status, bytes.TrimSpace(text))
	}
	return nil, &Error{Kind(res.StatusCode), r.Field, r.Error}
}
