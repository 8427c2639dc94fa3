package answer

import (
	"encoding/json"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/notices"
	"feedmux/internal/sink"
	"feedmux/internal/sink/link"
)

// What the sink counts is what an operator must see: a counter that is not carried over shows a calming zero.
func TestEveryFigureOfTheSinkIsShown(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	s := sink.Stats{
		Stats:  link.Stats{Connected: true, Trouble: "no", Server: "nats://a", Reconnects: 2, Refused: 3, RefusedAt: at},
		Buffer: 4, Oldest: 5e9, Unconfirmed: 8e9,
		Feeds: []sink.FeedStats{{
			Feed: "f", Published: 6,
			Dropped: map[sink.Reason]uint64{sink.BufferFull: 7}, DroppedAt: &at, Gaps: map[cause.Cause]uint64{cause.NATSBroke: 12},
		}},
		Notices: notices.Stats{Waiting: 8, Sent: 9, Dropped: 10},
	}
	got, err := json.Marshal(Delivery(s, 11))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"connected":true,"server":"nats://a","trouble":"no","reconnects":2,"refused":3,"refused_at":"2026-11-24T03:00:00Z","buffer_bytes":4,"buffer_limit_bytes":11,` +
		`"oldest_s":5,"unconfirmed_s":8,"published":{"f":6},"dropped":{"f":{"buffer_full":7}},"dropped_at":{"f":"2026-11-24T03:00:00Z"},"gaps":{"f":{"nats_broke":12}},` +
		`"notices_waiting":8,"notices_dropped":10}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
