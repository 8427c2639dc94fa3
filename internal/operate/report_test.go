package operate

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/console"
	"feedmux/internal/control"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
	"feedmux/shard"
)

// What the console reads is written apart from what the daemon reports, so this holds the two together.
func TestTheConsoleReadsWhatADaemonReports(t *testing.T) {
	slot, now := shard.Slot(3), time.Now()
	h := control.Handler(control.Options{
		Feeds: func() []control.Feed {
			return []control.Feed{{
				Name:      "kite",
				TokenDies: func() time.Time { return now.Add(26 * time.Hour) },
				Status: func(context.Context, bool) (pool.Status, error) {
					return pool.Status{
						Feed: "kite", Protocol: "kite", Capacity: 3000, Dark: 7,
						Account: pool.AccountStatus{Name: "kite-77", Connections: 2, Limit: 3},
						Topics:  pool.TopicCounts{Wanted: 3010, Unplaced: 10, Assigned: 20, Confirmed: 2980},
						Slots: []pool.SlotStatus{{
							Slot: slot, State: slots.Waiting, Since: now.Add(-time.Minute), Life: 12, Topics: 20, Confirmed: 1, Events: 6000,
							LastCause: cause.PingTimeout, LastError: "no pong", PingRTT: pool.Seconds(23 * time.Millisecond), NextDial: now.Add(time.Hour),
						}},
						Counters: pool.Counters{Events: 6000, LastEvent: now, Gaps: map[cause.Cause]uint64{cause.Reset: 5}, GapTime: pool.Seconds(90 * time.Second)},
					}, nil
				},
				Topic: func(context.Context, shard.Topic) (pool.TopicStatus, bool, error) {
					return pool.TopicStatus{
						Topic: "INFY", Subject: "feed.kite.INFY", Priority: 5, State: topic.Assigned, Since: now, Reason: "why", Slot: &slot,
						DarkSince: now.Add(-time.Minute), Events: 44, LastEvent: now, Gaps: 2,
					}, true, nil
				},
			}}
		},
		Delivery: func(context.Context) (control.Delivery, error) {
			return control.Delivery{
				Connected: true, Server: "nats://n:4222", Reconnects: 2, Refused: 3, BufferBytes: 1 << 20, BufferLimit: 16 << 20, OldestSeconds: 2,
				Published: map[string]uint64{"kite": 5999}, Dropped: map[string]map[string]uint64{"kite": {"buffer_full": 8}},
				NoticesWaiting: 4, NoticesDropped: 9,
			}, nil
		},
		Ready: func() float64 { return 0.995 }, Version: "v1.2.3", Started: now.Add(-time.Hour), Log: slog.New(slog.DiscardHandler),
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/status?feed=kite&topic=INFY", nil))
	r, err := console.Read(w.Body.Bytes(), now)
	if err != nil {
		t.Fatal(err)
	}
	flat := func(page string) string { return strings.Join(strings.Fields(page), " ") }
	topicPage, _ := console.TopicPage(r, "kite", "INFY", console.Look{})
	for page, parts := range map[string][]string{
		flat(console.Overview(r, console.Look{})): {
			"feedmux v1.2.3 up for 1h 0m", "NOT READY: 2,980 of 3,000 placeable", "below 100 %: kite (99 %)", "connected to nats://n:4222, 2 reconnects",
			"5,999 published; 1.0 MiB of 16.0 MiB wait, the oldest for 2 s", "8 buffer_full", "3 messages", "4 wait, 9 were dropped",
			"kite recovering: 2,980 of 3,010 topics confirmed, 7 dark", "kite, account kite-77: 2 of 3 connections",
			"3 waiting 1m 0s 12 1/20 1.7 23 ms ping_timeout", "dials again in", "no pong", "6,000, 1.7/s on average; the last one 0 ms ago",
			"5 since the start (5 reset); closed ones lasted 1m 30s", "10 topics past the capacity of 3,000", "good for 1d 2h",
		},
		flat(topicPage): {
			"dark since", "slot 3 is waiting to redial (ping_timeout)", "reason why", "events 44", "gaps 2", "subject feed.kite.INFY", "priority 5",
		},
	} {
		for _, part := range parts {
			if !strings.Contains(page, part) {
				t.Errorf("want %q in\n%s", part, page)
			}
		}
	}
}
