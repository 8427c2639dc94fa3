package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Requests that cost something beyond a look at counters, and how many of each may run at once. One more gets 503:
// asking must not slow what is asked about.
const (
	maxLedgers = 2 // a ledger is copied in its pool's loop
	maxScrapes = 4
)

type handler struct {
	Options
	ledgers chan struct{} // a value for each ledger that is being shown; full: 503
}

// Handler answers the paths of the package comment. It starts nothing.
func Handler(o Options) http.Handler {
	h := &handler{Options: o, ledgers: make(chan struct{}, maxLedgers)}

	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", h.index)
	if o.Page != nil {
		mux.Handle("/page/", forBrowsers(o.Page))
	}
	mux.HandleFunc("/api/status", h.status)
	mux.Handle("/metrics", h.metrics())
	mux.HandleFunc("/healthz", h.healthz)
	mux.HandleFunc("/readyz", h.readyz)
	if o.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return guard(newHosts(o.Hosts), mux)
}

// index is the page for whoever asks for HTML, as browsers do, and words for curl and the like.
func (h *handler) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if h.Page != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		forBrowsers(h.Page).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, `feedmux %s

/api/status   what is going on, as JSON; ?feed=NAME for one feed, ?ledger=1 with every topic
/metrics      for Prometheus
/healthz      200 while every loop turns, else 503
/readyz       200 once every feed has enough of its topics confirmed, else 503
`, h.Version)
	if h.Page != nil {
		fmt.Fprintln(w, "/             the status page, in a browser")
	}
	if h.Pprof {
		fmt.Fprintln(w, "/debug/pprof/ profiles, for go tool pprof")
	}
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuestion(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	feeds := h.feedsNamed(q.feed)
	if q.feed != "" && feeds == nil {
		writeError(w, http.StatusNotFound, "feed", NoFeed(q.feed, h.feedNames()))
		return
	}
	if q.topic != "" {
		report, wanted := h.ofTopic(r.Context(), feeds[0], q.topic)
		if !wanted {
			writeError(w, http.StatusNotFound, "topic", fmt.Sprintf("feed %s does not want %q; \"feedmux topics list %[1]s\" shows what it wants", q.feed, q.topic))
			return
		}
		writeJSON(w, http.StatusOK, report)
		return
	}
	if q.ledger {
		select {
		case h.ledgers <- struct{}{}:
			defer func() { <-h.ledgers }()
		default:
			w.Header().Set("Retry-After", "1")
			writeError(w, http.StatusServiceUnavailable, "ledger", "others are being shown just now, ask again")
			return
		}
	}
	writeJSON(w, http.StatusOK, h.report(r.Context(), feeds, q.ledger))
}

// metrics has a registry of its own, so what a library registers for the whole program is not shown.
func (h *handler) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(&h.Options),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		DisableCompression:  true, // a few kilobytes, as a rule over loopback
	})
}

func (h *handler) healthz(w http.ResponseWriter, r *http.Request) {
	if err := h.Health(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	a := h.ask(r.Context(), h.Feeds(), false)
	ready := readiness(a.feeds, h.Ready())
	code := http.StatusOK
	if !ready.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, ready)
}

// writeError answers as the control socket does. field is the parameter that is to blame; "" where none is.
func writeError(w http.ResponseWriter, code int, field, text string) {
	writeJSON(w, code, struct {
		Error string `json:"error"`
		Field string `json:"field,omitempty"`
	}{text, field})
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
