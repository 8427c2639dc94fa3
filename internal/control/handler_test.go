package control

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"feedmux/pool"
)

func TestOnlyGetAndHeadAreAnswered(t *testing.T) {
	h := Handler(options(answering(twitch())))
	for _, path := range []string{"/", "/api/status", "/metrics", "/healthz", "/readyz", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			w := do(h, method, "localhost:8422", path)
			wantCode(t, w, http.StatusMethodNotAllowed)
			if allow := w.Header().Get("Allow"); allow != "GET, HEAD" {
				t.Errorf("%s %s: Allow is %q", method, path, allow)
			}
		}
	}
	wantCode(t, do(h, http.MethodHead, "localhost:8422", "/healthz"), http.StatusOK)
}

func TestAForeignHostIsMisdirected(t *testing.T) {
	const ok, misdirected = http.StatusOK, http.StatusMisdirectedRequest
	loopback, elsewhere, everywhere := []string{"127.0.0.1"}, []string{"10.1.2.3", "Feeds.Example"}, []string{"0.0.0.0"}
	for _, c := range []struct {
		listen []string
		host   string
		code   int
	}{
		{loopback, "127.0.0.1:8422", ok},
		{loopback, "127.0.0.1", ok},
		{loopback, "127.9.9.9:8422", ok},
		{loopback, "localhost:8422", ok},
		{loopback, "LocalHost.", ok},
		{loopback, "[::1]:9999", ok}, // a forwarded port
		{loopback, "[::1]", ok},
		{loopback, "[::ffff:127.0.0.1]:8422", ok},
		{loopback, "", ok},
		{loopback, "10.1.2.3:8422", misdirected},
		{loopback, "evil.example:8422", misdirected},
		{loopback, "localhost.evil.example", misdirected},
		{loopback, "127.0.0.1.evil.example:8422", misdirected},
		{loopback, "2130706433", misdirected}, // 127.0.0.1 as some resolvers would read it
		{nil, "localhost", ok},
		{elsewhere, "10.1.2.3:8422", ok},
		{elsewhere, "[::ffff:10.1.2.3]", ok},
		{elsewhere, "feeds.example:8422", ok},
		{elsewhere, "127.0.0.1:8422", ok},
		{elsewhere, "10.1.2.4:8422", misdirected},
		{everywhere, "10.1.2.4:8422", ok},
		{everywhere, "[2001:db8::1]:8422", ok},
		{everywhere, "evil.example:8422", misdirected},
		{[]string{""}, "10.1.2.4:8422", ok},
		{[]string{"::"}, "10.1.2.4:8422", ok},
	} {
		o := options()
		o.Hosts = c.listen
		w := do(Handler(o), http.MethodGet, c.host, "/healthz")
		if w.Code != c.code {
			t.Errorf("listening on %q, asked as %q: status code %d, want %d", c.listen, c.host, w.Code, c.code)
		}
	}
}

func TestWhoListensEverywhereAnswersToTheMachinesName(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	o := options()
	o.Hosts = []string{"0.0.0.0"}
	wantCode(t, do(Handler(o), http.MethodGet, name+":8422", "/healthz"), http.StatusOK)
	o.Hosts = []string{"10.1.2.3"}
	wantCode(t, do(Handler(o), http.MethodGet, name+":8422", "/healthz"), http.StatusMisdirectedRequest)

	h := newHosts(nil)
	h.addMachine("Feeds.Example.net")
	for host, ours := range map[string]bool{
		"feeds:8422": true, "feeds.example.net": true, "FEEDS.example.net.": true,
		"feeds.example": false, "feeds.evil.example": false, "example.net": false,
	} {
		if h.allow(host) != ours {
			t.Errorf("asked as %s: let in is %v, want %v", host, !ours, ours)
		}
	}
}

func TestWhoIsMisdirectedIsToldWhereTo(t *testing.T) {
	for listen, want := range map[string]string{
		"10.1.2.3": "use localhost, or the address in http.listen\n",
		"0.0.0.0":  "use localhost, or an IP address or the name of this machine\n",
	} {
		o := options()
		o.Hosts = []string{listen}
		if w := do(Handler(o), http.MethodGet, "evil.example", "/"); !strings.HasSuffix(w.Body.String(), want) {
			t.Errorf("listening on %s: %s", listen, w.Body)
		}
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	h := Handler(options())
	answers := map[string]http.Header{
		"ok":          get(h, "/").Header(),
		"not found":   get(h, "/nowhere").Header(),
		"misdirected": do(h, http.MethodGet, "evil.example", "/").Header(),
		"not allowed": do(h, http.MethodPost, "localhost", "/").Header(),
	}
	for name, header := range answers {
		for key, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"Cache-Control":                "no-store",
			"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
		} {
			if got := header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

func TestTheIndexNamesEveryPath(t *testing.T) {
	o := options(answering(twitch()))
	o.Pprof = true
	h := Handler(o)
	index := get(h, "/")
	wantCode(t, index, http.StatusOK)
	named := 0
	for line := range strings.Lines(index.Body.String()) {
		if path, _, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/") {
			named++
			wantCode(t, get(h, path), http.StatusOK)
		}
	}
	if named != 5 {
		t.Errorf("the index names %d paths, want 5:\n%s", named, index.Body)
	}
	wantCode(t, get(h, "/nowhere"), http.StatusNotFound)
}

func TestProfilesAreThereOnlyWhereAskedFor(t *testing.T) {
	o := options()
	wantCode(t, get(Handler(o), "/debug/pprof/heap"), http.StatusNotFound)
	o.Pprof = true
	wantCode(t, get(Handler(o), "/debug/pprof/heap"), http.StatusOK)
	// The command line is nobody's business, even then.
	wantCode(t, get(Handler(o), "/debug/pprof/cmdline"), http.StatusNotFound)
}

func TestFewLedgersAreShownAtOnce(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := Handler(options(Feed{Name: "slow", Status: func(_ context.Context, ledger bool) (pool.Status, error) {
		if ledger {
			entered <- struct{}{}
			<-leave
		}
		return pool.Status{Feed: "slow"}, nil
	}}))

	done := make(chan int)
	for range maxLedgers {
		go func() { done <- get(h, "/api/status?ledger=1").Code }()
		<-entered
	}
	w := get(h, "/api/status?ledger=1")
	wantCode(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("a refusal without Retry-After")
	}
	wantCode(t, get(h, "/api/status"), http.StatusOK)

	close(leave)
	for range maxLedgers {
		if code := <-done; code != http.StatusOK {
			t.Errorf("status code %d, want 200", code)
		}
	}
	go func() { done <- get(h, "/api/status?ledger=1").Code }()
	<-entered
	if code := <-done; code != http.StatusOK {
		t.Errorf("after the others were shown: status code %d, want 200", code)
	}
}
