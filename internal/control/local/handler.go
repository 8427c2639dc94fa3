package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// How many requests may run at once; one more gets 503. And how long the daemon may take for one that changes or lists.
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
}

func newHandler(end context.Context, o Options) http.Handler {
	h := &handler{o, end, make(chan struct{}, maxRequests), make(chan struct{}, maxTails)}
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

// route answers requests of one method with the JSON of what answer returns, or with its error.
func (h *handler) route(method string, answer func(context.Context, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := enter(w, r, method, h.requests)
		if err != nil {
			writeError(w, err)
			return
		}
		defer leave()
		if r.URL.RawQuery != "" {
			writeError(w, &Error{BadRequest, "", "this request takes no parameters"})
			return
		}
		// The server's own bounds are for requests that only look.
		conn := http.NewResponseController(w)
		conn.SetReadDeadline(time.Now().Add(2 * patience)) // only a recorder in a test has none
		conn.SetWriteDeadline(time.Now().Add(2 * patience))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		v, err := answer(ctx, r)
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

// enter lets a request in if it has the method, and a place is free. leave gives the place back.
func enter(w http.ResponseWriter, r *http.Request, method string, places chan struct{}) (leave func(), err error) {
	if r.Method != method {
		w.Header().Set("Allow", method)
		return nil, &Error{wrongMethod, "", fmt.Sprintf("%s: use %s here", r.Method, method)}
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		w.Header().Set("Retry-After", "1")
		return nil, &Error{Away, "", fmt.Sprintf("%d such requests are being answered just now: ask again", cap(places))}
	}
}

func (h *handler) topics(ctx context.Context, r *http.Request) (any, error) {
	entries, err := h.Daemon.Topics(ctx, r.PathValue("feed"))
	return struct {
		Topics []TopicEntry `json:"topics"`
	}{entries}, err
}

func (h *handler) change(ctx context.Context, r *http.Request) (any, error) {
	c, err := readChange(r)
	if err != nil {
		return nil, err
	}
	return h.Daemon.ChangeTopics(ctx, r.RemoteAddr, c)
}

func (h *handler) renew(ctx context.Context, r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	return struct{}{}, h.Daemon.Renew(ctx, r.RemoteAddr, r.PathValue("feed"))
}

func (h *handler) reload(ctx context.Context, r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	return h.Daemon.Reload(ctx, r.RemoteAddr)
}

// Kinds that no Daemon has a use for.
const (
	wrongMethod Kind = http.StatusMethodNotAllowed
	wrongType   Kind = http.StatusUnsupportedMediaType
	tooLarge    Kind = http.StatusRequestEntityTooLarge
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
