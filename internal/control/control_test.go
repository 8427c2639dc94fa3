package control

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a feed whose loop says s.
func answering(s pool.Status) Feed {
	return Feed{
		Name: s.Feed,
		Status: func(_ context.Context, ledger bool) (pool.Status, error) {
			s := s
			if !ledger {
				s.Ledger = nil
			}
			return s, nil
		},
		Topic: func(_ context.Context, name shard.Topic) (line pool.TopicStatus, wanted bool, err error) {
			for _, line := range s.Ledger {
				if line.Topic == name {
					return line, true, nil
				}
			}
			return line, false, nil
		},
	}
}

// stuck is a feed whose loop does not turn.
func stuck(name string) Feed {
	return Feed{Name: name, Status: func(ctx context.Context, _ bool) (pool.Status, error) {
		<-ctx.Done()
		return pool.Status{}, ctx.Err()
	}}
}

func delivering(d Delivery) func(context.Context) (Delivery, error) {
	return func(context.Context) (Delivery, error) { return d, nil }
}

func stuckDelivery(ctx context.Context) (Delivery, error) {
	<-ctx.Done()
	return Delivery{}, ctx.Err()
}

func options(feeds ...Feed) Options {
	return Options{
		Feeds:    func() []Feed { return feeds },
		Delivery: delivering(Delivery{Connected: true}),
		Ready:    func() float64 { return 0.9 },
		Version:  "v1.2.3",
		Started:  time.Now(),
		Log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// twitch is the status of a feed in the middle of its work.
func twitch() pool.Status {
	slot := shard.Slot(0)
	return pool.Status{
		Feed:     "twitch",
		Protocol: "twitch-pubsub",
		Account:  pool.AccountStatus{Name: "pubsub-edge.twitch.tv", Connections: 3, Limit: 10},
		Capacity: 500,
		Topics:   pool.TopicCounts{Wanted: 103, Unplaced: 1, Assigned: 2, Asked: 3, Confirmed: 96, Refused: 1},
		Slots: []pool.SlotStatus{
			{Slot: 0, State: slots.Live, Life: 2, Topics: 50, Confirmed: 50},
			{Slot: 1, State: slots.Live, Life: 1, Topics: 50, Confirmed: 46},
			{Slot: 2, State: slots.Dialing, Topics: 1},
		},
		Counters: pool.Counters{
			Events:      4200,
			LastEvent:   time.UnixMilli(1_700_000_000_250),
			Dials:       map[string]uint64{"ok": 3, "refused": 1},
			Disconnects: map[cause.Cause]uint64{cause.Reset: 1},
			Skipped:     map[string]uint64{"unknown_topic": 2, "too_big": 5},
			Odd:         map[string]uint64{"high_low": 3},
			Gaps:        map[cause.Cause]uint64{cause.Reset: 50},
			GapTime:     pool.Seconds(90 * time.Second),
			DialWait:    pool.Histogram{Counts: [12]uint64{0: 1, 6: 2, 11: 1}, Sum: pool.Seconds(125 * time.Second)},
			PingRTT:     pool.Histogram{Counts: [12]uint64{2: 7}, Sum: pool.Seconds(140 * time.Millisecond)},
		},
		Ledger: []pool.TopicStatus{{
			Topic: "video-playback-by-id.123", Subject: "feed.twitch.video-playback-by-id.123",
			State: topic.Confirmed, By: topic.ByAck, Slot: &slot,
		}},
	}
}

// get asks h for one path under a host that is always let in.
func get(h http.Handler, path string) *httptest.ResponseRecorder {
	return do(h, http.MethodGet, "127.0.0.1:8422", path)
}

func do(h http.Handler, method, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantCode(t *testing.T, w *httptest.ResponseRecorder, code int) {
	t.Helper()
	if w.Code != code {
		t.Fatalf("status code %d, want %d; body: %s", w.Code, code, w.Body)
	}
}
