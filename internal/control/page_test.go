package control

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"feedmux/pool"
)

func TestBrowsersGetThePageAndOthersTheWords(t *testing.T) {
	o := options()
	o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the page at "+r.URL.Path) })
	for _, c := range []struct{ path, accept, want string }{
		{"/", "text/html,application/xhtml+xml,*/*;q=0.8", "the page at /"},
		{"/", "*/*", "status page, in a browser"},
		{"/", "", "status page, in a browser"},
		{"/page/style.css", "text/css", "the page at /page/style.css"},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.Host = "localhost"
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		Handler(o).ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s for %q: %s", c.path, c.accept, w.Body)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if page := strings.HasPrefix(c.want, "the page"); page != strings.Contains(policy, "script-src 'self'") {
			t.Errorf("%s for %q: policy %q", c.path, c.accept, policy)
		}
		if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("%s for %q: policy %q", c.path, c.accept, policy)
		}
	}
}

func TestAReportIsOfOneFeedOrAll(t *testing.T) {
	a, b := answering(pool.Status{Feed: "a"}), answering(pool.Status{Feed: "b"})
	dies := time.Now().Add(time.Hour)
	a.TokenDies = func() time.Time { return time.Time{} } // not known
	b.TokenDies = func() time.Time { return dies }
	o := options(a, b)
	all, err := o.Report(t.Context(), "", false)
	if err != nil || len(all.Feeds) != 2 || len(all.TokensDie) != 1 || !all.TokensDie["b"].Equal(dies) {
		t.Errorf("all: %v, %+v", err, all)
	}
	one, err := o.Report(t.Context(), "a", false)
	if err != nil || len(one.Feeds) != 1 || one.Feeds[0].Feed != "a" {
		t.Errorf("one: %v, %+v", err, one)
	}
	if _, err := o.Report(t.Context(), "c", false); !errors.Is(err, ErrNoFeed) {
		t.Errorf("none: %v", err)
	}
}
