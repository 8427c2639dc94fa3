package answer

import (
	"time"

	"feedmux/internal/control"
	"feedmux/internal/sink"
)

// Delivery is what a sink did, as people see it. limit is its buffer's, in bytes.
func Delivery(s sink.Stats, limit int64) control.Delivery {
	v := control.Delivery{
		Connected: s.Connected, Server: s.Server,
		BufferBytes: s.Buffer, BufferLimit: limit, OldestSeconds: s.Oldest.Seconds(), Unconfirmed: s.Unconfirmed.Seconds(),
		Published: make(map[string]uint64), Dropped: make(map[string]map[string]uint64),
		Gaps:       make(map[string]map[string]uint64),
		Reconnects: s.Reconnects, Refused: s.Refused, RefusedAt: s.RefusedAt, Trouble: s.Trouble,
		DroppedAt:      make(map[string]time.Time),
		NoticesWaiting: s.Notices.Waiting, NoticesDropped: s.Notices.Dropped,
	}
	for _, f := range s.Feeds {
		v.Published[f.Feed] = f.Published
		v.Dropped[f.Feed] = make(map[string]uint64)
		for reason, n := range f.Dropped {
			v.Dropped[f.Feed][string(reason)] = n
		}
		if f.DroppedAt != nil {
			v.DroppedAt[f.Feed] = *f.DroppedAt
		}
		v.Gaps[f.Feed] = make(map[string]uint64)
		for cause, n := range f.Gaps {
			v.Gaps[f.Feed][string(cause)] = n
		}
	}
	return v
}
