package page

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"feedmux/internal/control"
	"feedmux/internal/history"
)

// Ledgers are copied in their pool's loop. So many are shown at a time; whoever asks for one more waits a little, then gets 503.
const (
	maxLedgers = 2
	patience   = time.Second
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets/style.css assets/live.js assets/icon.svg
var assets embed.FS

// Options say where the figures are from. All are required.
type Options struct {
	// Report is control's Options.Report.
	Report func(ctx context.Context, feed string, ledger bool) (control.Report, error)
	// Hour is what is known of a feed's last hour: history's Sampler.Feed.
	Hour func(feed string) []history.Sample
}

type handler struct {
	Options
	pages   *template.Template
	ledgers chan struct{} // a value for each ledger that is being shown
}

// New answers the paths of the package comment. It starts nothing. Whoever serves it checks host and method, and sets
// the headers that hold for every answer.
func New(o Options) http.Handler {
	h := &handler{
		Options: o,
		pages:   template.Must(template.New("").Funcs(words).ParseFS(templates, "templates/*.html")),
		ledgers: make(chan struct{}, maxLedgers),
	}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic("page: bug: " + err.Error())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", h.serve)
	for _, name := range []string{"style.css", "live.js", "icon.svg"} { // by name: a folder would be listed
		mux.HandleFunc("/page/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	}
	return mux
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	q, err := parse(r.URL.RawQuery)
	if err != nil {
		h.fail(w, http.StatusBadRequest, "", "This address asks for something that there is not: "+visible(err.Error())+".")
		return
	}
	v, err := h.view(r.Context(), q)
	switch {
	case errors.Is(err, control.ErrNoFeed):
		h.fail(w, http.StatusNotFound, "", "There is no feed called "+visible(q.Feed)+".")
		return
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		h.fail(w, http.StatusServiceUnavailable, q.link(), "Others are being shown a ledger just now.")
		return
	case err != nil:
		h.fail(w, http.StatusInternalServerError, q.link(), "The figures could not be had: "+visible(err.Error())+".")
		return
	}
	code := http.StatusOK
	if v.Topic != nil && v.Topic.Unknown {
		code = http.StatusNotFound
	}
	h.write(w, code, "page", v)
}

// fail says in a page of its own what is wrong. again is the address that a browser tries once more by itself, and by a link
// at once; "": that would not help.
func (h *handler) fail(w http.ResponseWriter, code int, again, text string) {
	h.write(w, code, "failure", struct {
		Code               int
		Title, Again, Text string
	}{code, http.StatusText(code), again, text})
}

// write renders all before it sends any, so that an answer is whole or an error.
func (h *handler) write(w http.ResponseWriter, code int, name string, v any) {
	var body bytes.Buffer
	if err := h.pages.ExecuteTemplate(&body, name, v); err != nil {
		http.Error(w, "render the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(code)
	w.Write(body.Bytes()) // fails only where nobody reads any more
}

var errBusy = errors.New("too many ledgers are being shown")

// figures asks for the report of all feeds and, where a feed is chosen, its ledger.
func (h *handler) figures(ctx context.Context, q question) (control.Report, question, error) {
	r, err := h.Report(ctx, "", false)
	if err != nil {
		return r, q, err
	}
	if q.Feed == "" && len(r.Readiness.Feeds) == 1 {
		q.Feed = r.Readiness.Feeds[0].Feed
	}
	if q.Feed == "" {
		return r, q, nil
	}
	waited := time.NewTimer(patience)
	defer waited.Stop()
	select {
	case h.ledgers <- struct{}{}:
		defer func() { <-h.ledgers }()
	case <-waited.C:
		return r, q, errBusy
	case <-ctx.Done():
		return r, q, ctx.Err()
	}
	one, err := h.Report(ctx, q.Feed, true)
	if err != nil {
		return r, q, err
	}
	for _, chosen := range one.Feeds {
		for i := range r.Feeds {
			if r.Feeds[i].Feed == chosen.Feed {
				r.Feeds[i] = chosen // what is said above the ledger is of the same moment
			}
		}
	}
	return r, q, nil
}
