package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

// large is a feed whose ledger makes an answer of megabytes.
func large() Feed {
	s := twitch()
	for i := range 9000 {
		name := "video-playback-by-id." + strconv.Itoa(i)
		s.Ledger = append(s.Ledger, pool.TopicStatus{Topic: shard.Topic(name), Subject: "feed.twitch." + name, State: topic.Confirmed})
	}
	return answering(s)
}

// wantHealthy asks on a new connection whether all is well, while others misbehave.
func wantHealthy(t *testing.T, s *server) {
	t.Helper()
	asked := time.Now()
	c := s.dial(t)
	defer c.Close()
	res, err := request(c, "/healthz")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("asked for health: %v, %v", res, err)
	}
	if took := time.Since(asked); took != 0 {
		t.Errorf("health was answered after %v, want at once", took)
	}
}

// wantEndAfter reads c to its end, and wants it at the time given after begun. It returns what it read.
func wantEndAfter(t *testing.T, c net.Conn, begun time.Time, d time.Duration) string {
	t.Helper()
	got, _ := io.ReadAll(c) // it may be cut off
	if took := time.Since(begun); took != d {
		t.Errorf("cut off after %v, want %v", took, d)
	}
	return string(got)
}

// hostile runs what a client does to a server, then wants the server healthy, and ends it.
func hostile(t *testing.T, do func(t *testing.T, s *server)) {
	t.Helper()
	hostileTo(t, answering(twitch()), do)
}

func hostileTo(t *testing.T, feed Feed, do func(t *testing.T, s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Handler(options(feed)))
		do(t, s)
		wantHealthy(t, s)
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
}

func TestAHeaderThatTricklesIsCutOff(t *testing.T) {
	hostile(t, func(t *testing.T, s *server) {
		c, begun := s.dial(t), time.Now()
		var trickle sync.WaitGroup
		defer trickle.Wait()
		trickle.Go(func() {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\n")
			for i := 0; ; i++ { // no single byte is late
				if _, err := fmt.Fprintf(c, "X-%d: a\r\n", i); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		wantEndAfter(t, c, begun, headerTime)
	})
}

func TestWhoConnectsAndSaysNothingIsCutOff(t *testing.T) {
	hostile(t, func(t *testing.T, s *server) {
		c, begun := s.dial(t), time.Now()
		wantEndAfter(t, c, begun, headerTime)
	})
}

func TestAConnectionThatIsKeptForNothingEnds(t *testing.T) {
	hostile(t, func(t *testing.T, s *server) {
		c := s.dial(t)
		if _, err := request(c, "/healthz"); err != nil {
			t.Fatal(err)
		}
		wantEndAfter(t, c, time.Now(), idleTime)
	})
}

func TestABodyIsNotWaitedFor(t *testing.T) {
	for _, request := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
		"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
	} {
		hostile(t, func(t *testing.T, s *server) {
			c, begun := s.dial(t), time.Now()
			go io.WriteString(c, request)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || !res.Close {
				t.Fatalf("%q: %v, %v", request, res, err)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("%q: answered after %v, want at once", request, took)
			}
			if want := strings.HasPrefix(request, "GET"); want != (res.StatusCode == http.StatusOK) {
				t.Errorf("%q: %s", request, res.Status)
			}
		})
	}
}

func TestWhoDoesNotReadItsAnswerIsCutOff(t *testing.T) {
	hostileTo(t, large(), func(t *testing.T, s *server) {
		for range maxLedgers {
			fmt.Fprint(s.dial(t), "GET /api/status?ledger=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		synctest.Wait()
		wantHealthy(t, s)
		ledger := func() int {
			c := s.dial(t)
			defer c.Close()
			res, err := request(c, "/api/status?ledger=1")
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			return res.StatusCode
		}
		if code := ledger(); code != http.StatusServiceUnavailable {
			t.Errorf("while nobody reads the ledgers that are shown, another is answered %d", code)
		}
		time.Sleep(answerTime)
		synctest.Wait()
		if code := ledger(); code != http.StatusOK {
			t.Errorf("after %v, the ledger is still kept from others: %d", answerTime, code)
		}
	})
}

func TestManyConnectionsKeepNobodyOut(t *testing.T) {
	hostile(t, func(t *testing.T, s *server) {
		kept := s.dial(t)
		silent := []net.Conn{s.dial(t)}
		for range 10 * maxConns {
			c := s.dial(t)
			synctest.Wait()
			fmt.Fprint(c, "G")
			synctest.Wait()
			silent = append(silent, c)
			if len(silent)%(maxConns/2) == 0 {
				wantHealthy(t, s)
				if res, err := request(kept, "/healthz"); err != nil || res.StatusCode != http.StatusOK {
					t.Fatalf("the connection of somebody who asks now and then: %v, %v", res, err)
				}
			}
		}
		open := 0
		for _, c := range silent {
			c.SetReadDeadline(time.Now().Add(time.Nanosecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				open++
			}
		}
		if open == 0 || open > maxConns {
			t.Errorf("%d connections are open, want at most %d", open, maxConns)
		}
	})
}

func TestWhatIsNotARequestForUsIsRefused(t *testing.T) {
	const ok = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for sent, codes := range map[string][]int{
		ok + "\x00\x01 garbage\r\n\r\n":                                          {200, 400},
		ok + "GET / HTTP/1.1\r\n\r\n":                                            {200, 400}, // no host
		ok + ok + ok + "?\r\n\r\n":                                               {200, 200, 200, 400},
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                       {405},
		"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n":                              {505},
		"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n":    {200}, // a request's own host counts
		"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":    {421},
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n":    {421},
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n":          {405},
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                          {405},
		"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n":                              {400},
		"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":                       {405},
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n":    {400},
		"GET /healthz HTTP/1.1\r\nHost: local host\r\n\r\n":                      {400},
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: \x00\r\n\r\n":            {400},
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\x16\x03\x01: \r\n\r\n":     {400},
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS, as it begins\r\n\r\n": {400},
	} {
		hostile(t, func(t *testing.T, s *server) {
			c := s.dial(t)
			go io.WriteString(c, sent)
			from := bufio.NewReader(c)
			for i, code := range codes {
				res, err := http.ReadResponse(from, nil)
				if err != nil || res.StatusCode != code {
					t.Fatalf("%q: answer %d is %v, %v; want %d", sent, i, res, err, code)
				}
				io.Copy(io.Discard, res.Body)
			}
			c.Close()
		})
	}
}
