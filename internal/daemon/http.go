package daemon

import (
	"context"
	"net"
	"net/http"

	"feedmux/internal/control"
	"feedmux/internal/sink"
)

// handler answers HTTP for the daemon.
func (d *Daemon) handler() http.Handler {
	o := control.Options{
		Delivery: d.delivery,
		Ready:    d.Config.HTTP.Ready,
		Pprof:    d.Config.HTTP.Pprof,
		Version:  d.Options.Version,
		Started:  d.started,
		Log:      d.Log,
	}
	if host, _, err := net.SplitHostPort(d.Config.HTTP.Listen); err == nil {
		o.Hosts = []string{host}
	}
	for _, f := range d.feeds {
		feed := control.Feed{Name: f.name, Status: f.pool.Status}
		if f.expiry != nil {
			feed.TokenDies = f.expiry.at
		}
		o.Feeds = append(o.Feeds, feed)
	}
	return control.Handler(o)
}

// delivery is the sink's state as HTTP shows it.
func (d *Daemon) delivery(context.Context) (control.Delivery, error) {
	return deliveryOf(d.core.Stats(), int64(d.Config.NATS.Buffer)), nil
}

func deliveryOf(s sink.Stats, limit int64) control.Delivery {
	v := control.Delivery{
		Connected: s.Connected, Server: s.Server,
		BufferBytes: s.Buffer, BufferLimit: limit, OldestSeconds: s.Oldest.Seconds(),
		Published: make(map[string]uint64), Dropped: make(map[string]map[string]uint64),
		Gaps:       make(map[string]map[string]uint64),
		Reconnects: s.Reconnects, Refused: s.Refused,
		NoticesWaiting: s.Notices.Waiting, NoticesDropped: s.Notices.Dropped,
	}
	for _, f := range s.Feeds {
		v.Published[f.Feed] = f.Published
		v.Dropped[f.Feed] = make(map[string]uint64)
		for reason, n := range f.Dropped {
			v.Dropped[f.Feed][string(reason)] = n
		}
		v.Gaps[f.Feed] = make(map[string]uint64)
		for cause, n := range f.Gaps {
			v.Gaps[f.Feed][string(cause)] = n
		}
	}
	return v
}
