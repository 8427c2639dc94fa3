package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/daemon"
	"feedmux/internal/slots"
	"feedmux/pool"
)

// viewer is the demo's subscriber: an ordinary NATS client that prints, once a second, what has arrived.
type viewer struct {
	out    io.Writer
	nc     *nats.Conn
	daemon *daemon.Daemon
	begin  time.Time
	events atomic.Uint64

	mu      sync.Mutex // NATS calls from goroutines of its own
	sample  string
	gaps    map[gapKey]*gapGroup
	inOrder []gapKey
}

// gapKey is what the gaps of one cut have in common.
type gapKey struct {
	from  time.Time
	cause string
}

// gapGroup is the gaps of the topics that one connection carried.
type gapGroup struct {
	open, closed int
	longest      time.Duration
	topic        string
}

func newViewer(out io.Writer, url string, d *daemon.Daemon) (*viewer, error) {
	v := &viewer{out: out, daemon: d, begin: time.Now(), gaps: make(map[gapKey]*gapGroup)}
	nc, err := nats.Connect(url, nats.Name("feedmux demo"))
	if err != nil {
		return nil, fmt.Errorf("connecting the demo's subscriber: %w", err)
	}
	v.nc = nc
	_, err = nc.Subscribe("feed.>", v.onEvent)
	if err == nil {
		_, err = nc.Subscribe("feedmux.gap.>", v.onGap)
	}
	if err == nil {
		err = nc.FlushTimeout(5 * time.Second)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	return v, nil
}

func (v *viewer) close() { v.nc.Close() }

func (v *viewer) onEvent(m *nats.Msg) {
	if v.events.Add(1)%997 == 1 { // one now and then, to show what an event looks like
		v.mu.Lock()
		defer v.mu.Unlock()
		v.sample = m.Subject + " " + string(m.Data)
	}
}

func (v *viewer) onGap(m *nats.Msg) {
	var n struct {
		Topic, Phase, Cause string
		From, To            time.Time
	}
	if json.Unmarshal(m.Data, &n) != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	key := gapKey{n.From, n.Cause}
	g := v.gaps[key]
	if g == nil {
		g = &gapGroup{topic: n.Topic}
		v.gaps[key] = g
		v.inOrder = append(v.inOrder, key)
	}
	if n.Phase == "open" {
		g.open++
		return
	}
	g.closed++
	g.longest = max(g.longest, n.To.Sub(n.From))
}

// run prints until ctx ends, and then a last line.
func (v *viewer) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var before uint64
	for seconds := 1; ; seconds++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			fmt.Fprintf(v.out, "\n%s published on NATS and received in %s.\n",
				count(int(v.events.Load()), "event"), time.Since(v.begin).Round(time.Second))
			return
		}
		now := v.events.Load()
		v.printGaps()
		v.printSummary(ctx, now-before)
		before = now
		if seconds == 8 || seconds%30 == 0 {
			v.printSample()
		}
	}
}

func (v *viewer) printSummary(ctx context.Context, perSecond uint64) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	feeds, err := v.daemon.Status(ctx)
	if err != nil {
		return
	}
	for _, s := range feeds {
		slots := strings.Repeat("·", len(s.Slots))
		row := []rune(slots)
		for i, slot := range s.Slots {
			row[i] = mark(slot)
		}
		t := s.Topics
		fmt.Fprintf(v.out, "%5s  [%s]  %3d confirmed  %3d on their way  %s unplaced  %5d events/s\n",
			time.Since(v.begin).Round(time.Second), string(row), t.Confirmed, t.Assigned+t.Asked, thousands(t.Unplaced), perSecond)
	}
}

// mark shows a slot as one character.
func mark(s pool.SlotStatus) rune {
	switch {
	case s.State == slots.Live && s.Confirmed == s.Topics:
		return '#'
	case s.State == slots.Live, s.State == slots.Opening:
		return '+'
	case s.State == slots.Waiting, s.State == slots.Leaving:
		return 'x'
	case s.State == slots.Dialing:
		return '-'
	}
	return '·'
}

func (v *viewer) printGaps() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, key := range v.inOrder {
		g := v.gaps[key]
		if g.closed == 0 {
			if g.open > 0 {
				fmt.Fprintf(v.out, "       gap: %s dark, %s and others: %s\n", count(g.open, "topic"), g.topic, key.cause)
				g.open = 0
			}
			continue
		}
		fmt.Fprintf(v.out, "       gap: closed for %s, %s and others; not listening for up to %s: %s\n",
			count(g.closed, "topic"), g.topic, g.longest.Round(time.Millisecond), key.cause)
		delete(v.gaps, key)
	}
	v.inOrder = slices.DeleteFunc(v.inOrder, func(k gapKey) bool { return v.gaps[k] == nil })
}

func (v *viewer) printSample() {
	v.mu.Lock()
	defer v.mu.Unlock()
	sample := v.sample
	if len(sample) > 150 {
		sample = sample[:150] + "…"
	}
	fmt.Fprintf(v.out, "       an event: %s\n", sample)
}
