package local

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestARequestThatMakesNoSenseIsRefusedWithItsPlace(t *testing.T) {
	s := serve(t, &fake{})
	const add = "/v1/topics/twitch/add"
	deep := strings.Repeat("[", 50) + strings.Repeat("]", 50)
	for _, c := range []struct {
		body  string
		code  int
		field string
		text  string
	}{
		{``, 400, "", "no JSON"},
		{`{`, 400, "", "no JSON"},
		{`[]`, 400, "", "must be an object"},
		{`"topics"`, 400, "", "must be an object"},
		{`{}`, 400, "topics", "must be a list"},
		{`{"topics": "raid.1"}`, 400, "topics", "must be a list"},
		{`{"topics": []}`, 400, "topics", "at least one"},
		{`{"topics": ["a"], "force": true}`, 400, "force", "no such field"},
		{`{"topics": ["a", 3]}`, 400, "topics[1]", "must be a string"},
		{`{"topics": ["a", ""]}`, 400, "topics[1]", "no name"},
		{`{"topics": ["a", null]}`, 400, "topics[1]", "null"},
		{`{"topics": ["a", "b", "a"]}`, 400, "topics[2]", "topics[0] already"},
		{`{"topics": [{"priority": 3}]}`, 400, "topics[0]", "no name"},
		{`{"topics": [{"topic": 3}]}`, 400, "topics[0].topic", "must be a string"},
		{`{"topics": [{"topic": "a", "priority": "high"}]}`, 400, "topics[0].priority", "whole number"},
		{`{"topics": [{"topic": "a", "priority": 1.5}]}`, 400, "topics[0].priority", "whole number"},
		{`{"topics": [{"topic": "a", "priority": 3000000000}]}`, 400, "topics[0].priority", "32 bits"},
		{`{"topics": [{"topic": "a", "depth": 1e999}]}`, 400, "topics[0].depth", "too large"},
		{`{"topics": [{"topic": "a", "depth": 99999999999999999999}]}`, 400, "topics[0].depth", "too large"},
		{`{"topics": [{"topic": "a", "topic": "b"}]}`, 400, "topics[0].topic", "twice"},
		{`{"topics": ["a"], "topics": ["b"]}`, 400, "topics", "twice"},
		{`{"topics": ["a"]} {"topics": ["b"]}`, 400, "", "at byte 19"},
		{`{"topics": ["a"],}`, 400, "", "no JSON"},
		{"{\"topics\": [\"a\xff\"]}", 400, "", "UTF-8"},
		{`{"topics": ` + deep + `}`, 400, "topics[0]", "must be a string"},
		{`{"topics": null}`, 400, "topics", "must be a list"},
		{`{"topics": [{"topic": "a", "x": ` + deep + `}]}`, 400, "topics[0].x[0][0][0][0][0]", "levels deep"},
		{`{"topics": ["a", {"topic": "b", "x": [1, {"y": null}]}]}`, 400, "topics[1].x[1].y", "null"},
		{`{"topics": [{"topic": "b", "x": [` + strings.Repeat(`"",`, 97) + `""]}]}`, 200, "", ""},
		{`{"topics": [{"topic": "b", "x": [` + strings.Repeat(`"",`, 98) + `""]}]}`, 400, "topics[0].x[98]", "100 values"},
		{strings.Repeat(`[`, 100_000), 400, "", "no JSON"},
		{`{"topics": ["` + strings.Repeat("x", 1<<20) + `"]}`, 413, "", "longer than 1048576 bytes"},
		{`{"topics": ["from.file"]}`, 409, "topics", "from topics.txt:12: remove it there"},
		{`{"topics": ["disk.full"]}`, 500, "", "no space left"},
	} {
		code, header, body := s.raw(t, post(add, c.body))
		if c.code == http.StatusOK && code == http.StatusOK {
			s.did = nil
			continue
		}
		var r refusal
		if err := json.Unmarshal([]byte(body), &r); err != nil || header.Get("Content-Type") != "application/json" {
			t.Fatalf("%.80s: the answer is no JSON: %s", c.body, body)
		}
		if code != c.code || r.Field != c.field || !strings.Contains(r.Error, c.text) {
			t.Errorf("%.80s: got %d %q %q, want %d %q %q", c.body, code, r.Field, r.Error, c.code, c.field, c.text)
		}
	}
	if len(s.did) > 0 {
		t.Errorf("something was changed: %q", s.did)
	}
}

func TestAWrongRequestIsRefused(t *testing.T) {
	s := serve(t, &fake{})
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	with := func(request, header string) string {
		return strings.Replace(request, "\r\nHost", "\r\n"+header+"\r\nHost", 1)
	}
	const body = `{"topics": ["a"]}`
	for _, c := range []struct {
		request string
		code    int
		text    string
	}{
		{get("/v1/topics/twitch/add"), 405, "use POST"},
		{get("/v1/renew/twitch"), 405, "use POST"},
		{get("/v1/reload"), 405, "use POST"},
		{post("/v1/topics/twitch", body), 405, "use GET"},
		{post("/v1/tail/twitch", body), 405, "use GET"},
		{"DELETE /v1/topics/twitch HTTP/1.1\r\nHost: x\r\n\r\n", 405, "use GET"},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 0, ""},
		{post("/v1/topics/twitch/drop", body), 404, "add, remove and set"},
		{post("/v1/topics/kite/add", body), 404, `there is no feed \"kite\"; there is twitch`},
		{get("/v1/topics/kite"), 404, `there is no feed \"kite\"; there is twitch`},
		{get("/v1/tail/kite"), 404, `there is no feed \"kite\"; there is twitch`},
		{get("/v1/nothing"), 404, "no such request"},
		{get("/v1/topics/twitch?priority=1"), 400, "no parameters"},
		{get("/v1/tail/twitch?topics=a"), 400, "there is topic"},
		{get("/v1/tail/twitch?topic=%zz"), 400, "parameters"},
		{post("/v1/renew/twitch", "{}"), 400, "no body"},
		{post("/v1/reload", "{}"), 400, "no body"},
		{strings.Replace(post("/v1/topics/twitch/add", body), "application/json", "text/plain", 1), 415, "application/json"},
		{strings.Replace(post("/v1/topics/twitch/add", body), "Content-Type: application/json\r\n", "", 1), 415, "application/json"},
		{with(post("/v1/topics/twitch/add", body), "Content-Encoding: gzip"), 415, "Content-Encoding"},
	} {
		code, header, answer := s.raw(t, c.request)
		if c.code == 0 {
			if code < 400 {
				t.Errorf("%.60q: %d", c.request, code)
			}
			continue
		}
		if code != c.code || !strings.Contains(answer, c.text) || code == 405 && header.Get("Allow") == "" {
			t.Errorf("%.60q: got %d %s, Allow %q; want %d %s", c.request, code, answer, header.Get("Allow"), c.code, c.text)
		}
	}
	if len(s.did) > 0 {
		t.Errorf("something was changed: %q", s.did)
	}
}

func TestAChangeIsUnderstoodAndTheDaemonHearsWhoAsked(t *testing.T) {
	s := serve(t, &fake{})
	c := Change{Feed: "twitch", Verb: Add, Topics: []Topic{
		{Name: "raid.1"},
		{Name: "raid.2", Priority: -5, Options: map[string]any{"mode": "full", "depth": int64(5), "factor": 0.5, "on": true, "list": []any{"x"}}},
	}}
	done, err := s.client().ChangeTopics(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.got, c) {
		t.Errorf("it came as %+v, want %+v", s.got, c)
	}
	if len(done.Added) != 2 || done.Wanted != 503 || done.Unplaced != 3 || done.Capacity != 500 {
		t.Errorf("%+v", done)
	}
	if _, err := s.client().ChangeTopics(t.Context(), Change{Feed: "twitch", Verb: Set}); err != nil {
		t.Errorf("to give all up: %v", err)
	}
	if err := s.client().Renew(t.Context(), "twitch"); err != nil {
		t.Error(err)
	}
	if _, err := s.client().Reload(t.Context()); err != nil {
		t.Error(err)
	}
	who := peerOfTest(t)
	for i, what := range []string{"add twitch", "set twitch", "renew twitch", "reload"} {
		if i >= len(s.did) || !strings.HasPrefix(s.did[i], who) || !strings.HasSuffix(s.did[i], ": "+what) {
			t.Fatalf("%q, want %q by %s", s.did, what, who)
		}
	}
}

// peerOfTest is how the daemon names this process.
func peerOfTest(t *testing.T) string {
	t.Helper()
	if (peerOf(&net.UnixConn{}) != peer{}) {
		t.Error("a connection that is none has a peer")
	}
	p := peer{known: true, uid: os.Getuid(), pid: os.Getpid()}
	if runtime.GOOS != "linux" {
		p = peer{}
	}
	return p.String()
}

func TestAReloadOfABadConfigurationIs422(t *testing.T) {
	f := &fake{reload: ReloadResult{Problems: []string{"config.toml:7: feed[0].url: must be a URL"}}}
	s := serve(t, f)
	if code, _, body := s.raw(t, "POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n"); code != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", code, body)
	}
	if done, err := s.client().Reload(t.Context()); err != nil || len(done.Problems) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestTooManyRequestsAtOnceAreToldToWait(t *testing.T) {
	f := &fake{came: make(chan struct{}), delay: make(chan struct{})}
	s := serve(t, f)
	answers := make(chan error, maxRequests)
	for range maxRequests {
		go func() {
			_, err := s.client().Topics(t.Context(), "twitch")
			answers <- err
		}()
		<-f.came // it runs
	}
	code, header, body := s.raw(t, "GET /v1/topics/twitch HTTP/1.1\r\nHost: x\r\n\r\n")
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d %s", code, body)
	}
	for range maxRequests {
		f.delay <- struct{}{}
	}
	for range maxRequests {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func TestOtherPathsAreThoseOfPackageControl(t *testing.T) {
	s := serve(t, &fake{})
	body, err := s.client().Status(t.Context(), map[string][]string{"feed": {"twitch"}})
	if want := "localhost /api/status?feed=twitch"; err != nil || string(body) != want {
		t.Errorf("%q, %v; want %q", body, err, want)
	}
}

func TestValueIsWhatARequestHas(t *testing.T) {
	for want, topic := range map[string]Topic{
		`"a"`:                         {Name: "a"},
		`{"priority":3,"topic":"a"}`:  {Name: "a", Priority: 3},
		`{"mode":"full","topic":"a"}`: {Name: "a", Options: map[string]any{"mode": "full"}},
		`{"mode":"full","priority":-1,"topic":"a"}`: {Name: "a", Priority: -1, Options: map[string]any{"mode": "full"}},
	} {
		if got, err := json.Marshal(topic.Value()); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
		if len(topic.Options) > 1 {
			t.Errorf("Value changed the options: %v", topic.Options)
		}
	}
}

func FuzzTheBodyOfAChange(f *testing.F) {
	for _, seed := range []string{`{"topics": ["a", {"topic": "b", "priority": 5, "x": [1, 2.5, {"y": true}]}]}`, `[[[`, `{"topics": [null]}`, "\xff", `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := topicsIn(body)
		if known := (*Error)(nil); err != nil && (!asError(err, &known) || known.Text == "") {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func asError(err error, to **Error) (ok bool) {
	*to, ok = err.(*Error)
	return ok
}
