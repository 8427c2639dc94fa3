package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"feedmux/internal/control"
)

// How many requests may run at once; one more gets 503. And how long the daemon may take for one that changes or lists,
// with the wait for the changes before it: those are read and made one after another.
const (
	maxRequests = 32
	maxTails    = 8
	patience    = 20 * time.Second
)

type handler struct {
	Options
	end      context.Context // those who look on leave when it ends
	requests chan struct{}   // a value for each request that runs; full: 503
	tails    chan struct{}   // … for each that looks on
	changing chan struct{}   // … for the one change whose topics are in memory; full: the next waits
}

func newHandler(end context.Context, o Options) http.Handler {
	h := &handler{o, end, make(chan struct{}, maxRequests), make(chan struct{}, maxTails), make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.Handle("/v1/topics/{feed}", h.route(http.MethodGet, h.topics))
	mux.Handle("/v1/topics/{feed}/{verb}", h.route(http.MethodPost, h.change))
	mux.Handle("/v1/renew/{feed}", h.route(http.MethodPost, h.renew))
	mux.Handle("/v1/reload", h.route(http.MethodPost, h.reload))
	mux.HandleFunc("/v1/tail/{feed}", h.tail)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &Error{NotFound, "", fmt.Sprintf("%s: there is no such request", r.URL.Path)})
	})
	mux.Handle("/", o.Status)
	return mux
}

// route answers requests of one method with the JSON of what answer returns, or with its error. answer gets the body of a
// POST. A request has its place only once its body is there: who sends it slowly keeps nobody out.
func (h *handler) route(method string, answer func(context.Context, *http.Request, []byte) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := only(w, r, method); err != nil {
			writeError(w, err)
			return
		}
		if r.URL.RawQuery != "" {
			writeError(w, &Error{BadRequest, "", "this request takes no parameters"})
			return
		}
		// The server's own bounds are for requests that only look. The one for reading holds until the body is there: an
		// answer to a body that is late can still be written then.
		conn := http.NewResponseController(w)
		conn.SetWriteDeadline(time.Now().Add(3 * patience)) // only a recorder in a test has none
		var body []byte
		if method == http.MethodPost {
			var err error
			if body, err = bodyOf(w, r); err != nil {
				writeError(w, err)
				return
			}
		}
		conn.SetReadDeadline(time.Now().Add(2 * patience)) // the request is cancelled when it is reached
		leave, err := enter(w, h.requests)
		if err != nil {
			writeError(w, err)
			return
		}
		defer leave()
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		v, err := answer(ctx, r, body)
		if err != nil {
			writeError(w, err)
			return
		}
		code := http.StatusOK
		if result, ok := v.(ReloadResult); ok && len(result.Problems) > 0 {
			code = http.StatusUnprocessableEntity
		}
		writeJSON(w, code, v)
	})
}

// only refuses requests of other methods.
func only(w http.ResponseWriter, r *http.Request, method string) error {
	if r.Method == method {
		return nil
	}
	w.Header().Set("Allow", method)
	return &Error{wrongMethod, "", fmt.Sprintf("%s: use %s here", clip(r.Method), method)}
}

// enter lets a request in if a place is free. leave gives the place back.
func enter(w http.ResponseWriter, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		w.Header().Set("Retry-After", "1")
		return nil, &Error{Away, "", fmt.Sprintf("%d such requests are being answered just now: ask again", cap(places))}
	}
}

func (h *handler) topics(ctx context.Context, r *http.Request, _ []byte) (any, error) {
	entries, err := h.Daemon.Topics(ctx, r.PathValue("feed"))
	return struct {
		Topics []TopicEntry `json:"topics"`
	}{entries}, err
}

func (h *handler) change(ctx context.Context, r *http.Request, body []byte) (any, error) {
	select {
	case h.changing <- struct{}{}:
		defer func() { <-h.changing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := readChange(r, body)
	if err != nil {
		return nil, err
	}
	return h.Daemon.ChangeTopics(ctx, r.RemoteAddr, c)
}

func (h *handler) renew(ctx context.Context, r *http.Request, body []byte) (any, error) {
	if err := noBody(body); err != nil {
		return nil, err
	}
	return struct{}{}, h.Daemon.Renew(ctx, r.RemoteAddr, r.PathValue("feed"))
}

func (h *handler) reload(ctx context.Context, r *http.Request, body []byte) (any, error) {
	if err := noBody(body); err != nil {
		return nil, err
	}
	return h.Daemon.Reload(ctx, r.RemoteAddr)
}

// NoFeed is the answer of a [Daemon] that has no feed of this name, but those that are there.
func NoFeed(name string, there []string) error {
	return &Error{NotFound, "feed", control.NoFeed(name, there)}
}

// Kinds that no Daemon has a use for.
const (
	wrongMethod Kind = http.StatusMethodNotAllowed
	wrongType   Kind = http.StatusUnsupportedMediaType
	tooLarge    Kind = http.StatusRequestEntityTooLarge
	tooSlow     Kind = http.StatusRequestTimeout
	ownFailure  Kind = http.StatusInternalServerError
)

// refusal is an Error on the wire.
type refusal struct {
	Error string `json:"error"`
	Field string `json:"field,omitempty"`
}

func writeError(w http.ResponseWriter, err error) {
	var known *Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, context.DeadlineExceeded):
		known = &Error{Kind: Away, Text: "feedmux did not answer in time: " + err.Error()}
	default:
		known = &Error{Kind: ownFailure, Text: err.Error()}
	}
	writeJSON(w, int(known.Kind), refusal{known.Text, known.Field})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "write the answer as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(body, '\n')) // fails only where nobody reads any more
}
