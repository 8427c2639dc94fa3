package local

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"feedmux/internal/sink/tap"
	"feedmux/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a daemon with the feed "twitch" that answers what it was given.
type fake struct {
	tap    tap.Tap
	looks  chan struct{} // a value for each Tail, if it is not nil
	fill   int           // events that come before a Tail is read
	came   chan struct{} // a value for each Topics, if it is not nil, …
	delay  chan struct{} // … which then waits for one of these
	reload ReloadResult

	mu  sync.Mutex
	did []string // changes, with who asked
	got Change
}

func (f *fake) note(who, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, who+": "+fmt.Sprintf(format, args...))
}

func (f *fake) known(feed string) error {
	if feed != "twitch" {
		return NoFeed(feed, []string{"twitch"})
	}
	return nil
}

func (f *fake) Topics(ctx context.Context, feed string) ([]TopicEntry, error) {
	if f.came != nil {
		f.came <- struct{}{}
		select {
		case <-f.delay:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return []TopicEntry{
		{Topic: "raid.1", Priority: 5, From: FromConfig, Where: "config.toml:12", State: "confirmed"},
		{Topic: "raid.2", From: FromRunTime, Options: map[string]any{"mode": "full"}, State: "refused", Reason: "ERR_BADTOPIC"},
	}, f.known(feed)
}

func (f *fake) ChangeTopics(_ context.Context, who string, c Change) (ChangeResult, error) {
	if err := f.known(c.Feed); err != nil {
		return ChangeResult{}, err
	}
	done := ChangeResult{Wanted: 503, Unplaced: 3, Capacity: 500}
	for _, t := range c.Topics {
		switch t.Name {
		case "from.file":
			return ChangeResult{}, &Error{Conflict, "topics", "from.file is from topics.txt:12: remove it there"}
		case "old":
			done.Unchanged = append(done.Unchanged, t.Name)
			continue
		case "disk.full":
			return ChangeResult{}, fmt.Errorf("saving the topics: no space left on device")
		}
		done.Added = append(done.Added, t.Name)
	}
	f.note(who, "%s %s", c.Verb, c.Feed)
	f.mu.Lock()
	f.got = c
	f.mu.Unlock()
	return done, nil
}

func (f *fake) Renew(_ context.Context, who, feed string) error {
	f.note(who, "renew %s", feed)
	return f.known(feed)
}

func (f *fake) Reload(_ context.Context, who string) (ReloadResult, error) {
	f.note(who, "reload")
	return f.reload, nil
}

func (f *fake) Tail(_ context.Context, feed string, topics []string) (*tap.Stream, error) {
	if err := f.known(feed); err != nil {
		return nil, err
	}
	s := f.tap.Subscribe(func(_ string, topic shard.Topic) bool {
		if len(topics) == 0 {
			return true
		}
		for _, t := range topics {
			if t == string(topic) {
				return true
			}
		}
		return false
	})
	for range f.fill {
		f.tap.Offer(feed, "raid.1", "s", []byte("1"), time.Now())
	}
	if f.looks != nil {
		f.looks <- struct{}{}
	}
	return s, nil
}

// safe is a buffer that may be written and read by several.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *safe) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

type served struct {
	*fake
	path string
	log  *safe
	stop func() // ends Serve and waits for it; may be called twice
}

// serve runs a daemon's socket until the test ends.
func serve(t *testing.T, f *fake) *served {
	t.Helper()
	return serveDaemon(t, f, f)
}

// serveDaemon is serve with d in place of the fake that it is made of.
func serveDaemon(t *testing.T, f *fake, d Daemon) *served {
	t.Helper()
	s, err := Listen(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	s.door.look = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	log := new(safe)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(ctx, Options{
			Daemon: d,
			Status: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.URL) }),
			Log:    slog.New(slog.NewTextHandler(log, nil)),
		})
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return &served{f, s.Path(), log, stop}
}

// shortDir is a folder whose path leaves room for a socket's name, however the test is called.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "feedmux")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *served) client() *Client { return NewClient(s.path, func(string) string { return "" }) }

// raw sends a request as it is and returns the answer.
func (s *served) raw(t *testing.T, text string) (code int, header http.Header, body string) {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	go io.WriteString(c, text) // the server may answer before it has read all
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%v after %.100q", err, text)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%v after %.100q", err, text)
	}
	return res.StatusCode, res.Header, string(answer)
}

// post is a request with a JSON body.
func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in: %s", part, text)
		}
	}
}
