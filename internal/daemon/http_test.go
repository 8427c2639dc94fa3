package daemon

import (
	"encoding/json"
	"testing"

	"feedmux/internal/cause"
	"feedmux/internal/notices"
	"feedmux/internal/sink"
)

// What the sink counts is what an operator must see: a counter that is not carried over shows a calming zero.
func TestEveryFigureOfTheSinkIsShown(t *testing.T) {
	s := sink.Stats{
		Connected: true, Server: "nats://a", Reconnects: 2, Refused: 3, Buffer: 4, Oldest: 5e9, Unconfirmed: 8e9,
		Feeds: []sink.FeedStats{{
			Feed: "f", Published: 6,
			Dropped: map[sink.Reason]uint64{sink.BufferFull: 7}, Gaps: map[cause.Cause]uint64{cause.NATSBroke: 12},
		}},
		Notices: notices.Stats{Waiting: 8, Sent: 9, Dropped: 10},
	}
	got, err := json.Marshal(deliveryOf(s, 11))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"connected":true,"server":"nats://a","reconnects":2,"refused":3,"buffer_bytes":4,"buffer_limit_bytes":11,` +
		`"oldest_s":5,"unconfirmed_s":8,"published":{"f":6},"dropped":{"f":{"buffer_full":7}},"gaps":{"f":{"nats_broke":12}},` +
		`"notices_waiting":8,"notices_dropped":10}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
