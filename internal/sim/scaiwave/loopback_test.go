package scaiwave

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"feedmux/internal/sim/upstream"
)

// TestBothChannelsOverRealSockets reads everything twice: from the stream, and with sync.
func TestBothChannelsOverRealSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := New(Options{Token: "good", Keep: 100_000, Record: true, Options: upstream.Options{Rate: 2000}})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx, l) }()

	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c, header, err := shake(t, nc, "/v1/stream?token=good")
	if err != nil || !strings.HasPrefix(header, "HTTP/1.1 101 ") {
		t.Fatalf("handshake: %v\n%s", err, header)
	}
	var streamed []string
	for len(streamed) < 500 {
		op, payload, err := c.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if m := texts(t, []frame{{op: op, payload: string(payload)}}); len(m) == 1 && m[0].ID != "" {
			streamed = append(streamed, m[0].ID)
		}
	}
	w.Change(func(o *Options) { o.Rate = 0 })
	web := httpClient(t, new(net.Dialer).DialContext)
	var ids []string
	for next, more := int64(0), true; more; {
		resp, got, err := get(ctx, web, fmt.Sprintf("http://%s/v1/sync?since=%d&limit=500", l.Addr(), next), "good")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("sync: %v, %v", resp, err)
		}
		for _, e := range got.Data.Events {
			ids = append(ids, e.ID)
		}
		next, more = got.Data.Next, got.Data.More
	}
	if all := strings.Join(ids, " "); !strings.Contains(all, strings.Join(streamed, " ")) {
		t.Errorf("what the stream brought is no part of the %d events of sync", len(ids))
	}

	w.FailSync(FaultSyncReset, 1)
	fresh := httpClient(t, new(net.Dialer).DialContext)
	if _, _, err := get(ctx, fresh, fmt.Sprintf("http://%s/v1/sync", l.Addr()), "good"); !isReset(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer that was reset: %v", err)
	}
	w.Rebuild()
	if _, err := io.Copy(io.Discard, c.br); !isReset(err) {
		t.Errorf("the stream of a server that was rebuilt: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if f := w.Unfired(); len(f) > 0 || w.Open() != 0 {
		t.Errorf("unfired %v, %d open", f, w.Open())
	}
}
