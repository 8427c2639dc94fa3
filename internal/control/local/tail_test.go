package local

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTailSendsEventsAsTheyCome(t *testing.T) {
	f := &fake{looks: make(chan struct{}, 1)}
	s := serve(t, f)
	at := time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC)
	go func() {
		<-f.looks
		f.tap.Offer("twitch", "raid.1", "feed.twitch.raid=2E1", []byte(`{"a": "<b>"}`), at)
		f.tap.Offer("twitch", "raid.2", "feed.twitch.raid=2E2", []byte(`{}`), at)
		f.tap.Offer("twitch", "raid.1", "feed.twitch.raid=2E1", []byte("no\njson"), at)
		f.tap.Offer("twitch", "raid.1", "feed.twitch.raid=2E1", []byte("\xff\xfe"), at)
	}()
	enough := errors.New("enough")
	var got []Line
	err := s.client().Tail(t.Context(), "twitch", []string{"raid.1"}, func(l Line) error {
		if got = append(got, l); len(got) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	for i, want := range []string{`{"a":"<b>"}`, "no\njson", "//4="} {
		l := got[i]
		if l.Body() != want || l.Topic != "raid.1" || l.Subject != "feed.twitch.raid=2E1" || !l.Time.Equal(at) {
			t.Errorf("got %+v, want %q", l, want)
		}
	}
}

func TestTailSaysHowMuchWasLeftOut(t *testing.T) {
	s := serve(t, &fake{fill: 5000})
	enough := errors.New("enough")
	seen, left := 0, uint64(0)
	err := s.client().Tail(t.Context(), "twitch", nil, func(l Line) error {
		if left = l.LeftOut; left > 0 {
			return enough
		}
		seen++
		return nil
	})
	if !errors.Is(err, enough) || seen+int(left) != 5000 {
		t.Errorf("%v: %d events, and then %d left out, of 5000", err, seen, left)
	}
}

func TestAReaderWhoStopsReadingHoldsNothingUp(t *testing.T) {
	f := &fake{looks: make(chan struct{}, 1)}
	s := serve(t, f)
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /v1/tail/twitch HTTP/1.1\r\nHost: x\r\n\r\n")
	<-f.looks
	payload := make([]byte, 64<<10)
	for range 1000 { // far more than sockets and buffers take
		f.tap.Offer("twitch", "raid.1", "s", payload, time.Now())
	}
	begun := time.Now()
	s.stop()
	if took := time.Since(begun); took > 2500*time.Millisecond {
		t.Errorf("the daemon waited for a reader who does not read for %v", took)
	}
}

func TestTailEndsWithTheDaemonAtOnce(t *testing.T) {
	f := &fake{looks: make(chan struct{}, 1)}
	s := serve(t, f)
	ended := make(chan error, 1)
	go func() { ended <- s.client().Tail(context.Background(), "twitch", nil, func(Line) error { return nil }) }()
	<-f.looks
	begun := time.Now()
	s.stop()
	if err := <-ended; err != nil {
		t.Errorf("Tail ended with %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the daemon waited for its reader for %v", took)
	}
}

func TestTooManyWhoLookOnAreToldToWait(t *testing.T) {
	f := &fake{looks: make(chan struct{}, 1)}
	s := serve(t, f)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, maxTails)
	for range maxTails {
		go func() { ended <- s.client().Tail(ctx, "twitch", nil, func(Line) error { return nil }) }()
		<-f.looks
	}
	var no *Error
	if err := s.client().Tail(ctx, "twitch", nil, nil); !errors.As(err, &no) || no.Kind != Away {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.client().Topics(ctx, "twitch"); err != nil {
		t.Errorf("they hold up other requests: %v", err)
	}
	stop()
	for range maxTails {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}

func TestTailSendsItsHeaderBeforeAnyEvent(t *testing.T) {
	s := serve(t, &fake{})
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "GET /v1/tail/twitch HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-ndjson") {
		t.Fatalf("%+v, %v", res, err)
	}
	s.tap.Offer("twitch", "raid.1", "s", []byte("1"), time.Unix(0, 0))
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if want := `{"time":"1970-01-01T00:00:00Z","topic":"raid.1","subject":"s","payload":1}` + "\n"; line != want {
		t.Errorf("%q, %v; want %q", line, err, want)
	}
}
