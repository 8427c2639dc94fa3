package pool

import (
	"context"
	"log/slog"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/ledger"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// onNews takes what a conn tells.
func (p *Pool) onNews(news slots.News, now time.Time) {
	switch n := news.(type) {
	case slots.StateNews:
		p.onSlot(n)
	case slots.DialEnded:
		p.counters.DialWait.add(n.Waited)
		result := "ok"
		if n.Cause != "" {
			result = string(n.Cause)
		}
		p.counters.Dials[result]++
	case slots.HandOverFailed:
		args := p.about(n.Slot, "cause", n.Cause, "retry_in", n.Again.Sub(now).Round(time.Millisecond))
		if n.Err != nil {
			args = append(args, "error", n.Err)
		}
		p.opts.Log.Warn("a hand-over failed: the connection that serves goes on", args...)
	case slots.LifeEnded:
		if !n.GoesOn {
			p.counters.Disconnects[n.Cause]++
		}
		if p.ending && n.Cause == cause.Drain {
			n.Cause = cause.Restart
		}
		p.ledger.LifeEnded(n, now)
		if f := &p.full[n.Slot]; f.life == n.Life {
			p.forgetFull(f, now) // the next life may have more room
		}
	case slots.TopicNews:
		p.onTopics(n, now)
	case slots.FullNews:
		f := reduced{capacity: n.Capacity, life: n.Life}
		if n.Life > p.slots[n.Slot].Life {
			f.guess = now
		}
		if most := p.settings.TopicsPerConnection; f.capacity < most && f.capacity != p.full[n.Slot].capacity {
			p.opts.Log.Warn("slot takes fewer topics than it may have", p.about(n.Slot, "capacity", f.capacity, "configured", most)...)
		}
		p.full[n.Slot] = f
		p.assignSoon(now)
	case slots.GapNews:
		p.ledger.Gap(n)
		if n.Cause == cause.Rebuilt {
			s := &p.slots[n.Slot]
			p.ledger.NotifyFeed(&ledger.FeedNotice{
				Feed: p.opts.Conn.Feed, Slot: n.Slot, Life: s.Life, State: s.State, Cause: n.Cause, At: n.To.UTC(),
			})
		}
	case slots.WordsNews:
		p.onWords(n)
	case slots.PongNews:
		p.slots[n.Slot].PingRTT = Seconds(n.RTT)
		p.counters.PingRTT.add(n.RTT)
	}
}

// about is what a line of the log says of a slot, before more.
func (p *Pool) about(slot shard.Slot, more ...any) []any {
	return append([]any{"feed", p.opts.Conn.Feed, "slot", int(slot), "life", p.slots[slot].Life}, more...)
}

func (p *Pool) onSlot(n slots.StateNews) {
	s, text := &p.slots[n.Slot], "slot is "+n.State.String()
	if n.State != slots.Live || n.Life != s.Life {
		p.fed(s, n.At)
	}
	if f := &p.full[n.Slot]; n.Life > f.life { // what the life before took means nothing to this one
		p.forgetFull(f, n.At)
	}
	if n.State != s.State || n.Life != s.Life {
		s.Since = n.At
	} else {
		text += ", but not all is well"
	}
	s.State, s.Life, s.NextDial = n.State, n.Life, n.NextDial
	if n.State == slots.Waiting || n.State == slots.Closed || n.State == slots.Parked || n.Err != nil {
		s.LastCause, s.LastError = n.Cause, ""
		if n.Err != nil {
			s.LastError = n.Err.Error()
		}
	}
	level := slog.LevelInfo
	switch {
	case n.Cause == cause.Duplicate, n.State == slots.Parked: // only people can help
		level = slog.LevelError
	case n.State == slots.Waiting || n.Err != nil:
		level = slog.LevelWarn
	case n.State == slots.Dialing || n.State == slots.Opening:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("feed", p.opts.Conn.Feed), slog.Int("slot", int(n.Slot)), slog.Int("life", n.Life)}
	if n.Cause != "" {
		attrs = append(attrs, slog.String("cause", string(n.Cause)))
	}
	if n.Err != nil {
		attrs = append(attrs, slog.Any("error", n.Err))
	}
	if !n.NextDial.IsZero() {
		attrs = append(attrs, slog.Duration("retry_in", n.NextDial.Sub(n.At).Round(time.Millisecond)))
	}
	if n.State == slots.Parked {
		attrs = append(attrs, slog.String("until", "the credential changes"))
	}
	p.opts.Log.LogAttrs(context.Background(), level, text, attrs...)
	p.ledger.NotifyFeed(&ledger.FeedNotice{
		Feed: p.opts.Conn.Feed, Slot: n.Slot, Life: n.Life, State: n.State, Cause: n.Cause, At: n.At.UTC(),
	})
}

func (p *Pool) onTopics(n slots.TopicNews, now time.Time) {
	refused := false
	for _, t := range n.Topics {
		r := p.ledger.Record(t.Name)
		if r == nil || !r.Is(t) || r.Slot != n.Slot || r.State == topic.Unplaced || r.State == topic.Refused {
			continue // not wanted, or not there, any more
		}
		switch n.State {
		case topic.Asked:
			p.ledger.Asked(r, n.At)
		case topic.Confirmed:
			p.ledger.Confirm(r, n.By, n.Filled, n.At)
		case topic.Refused:
			if r.Topic != t { // with other options it is asked for again: the order that says so is on its way
				continue
			}
			if n.Credential < p.changes { // the order that says so is on its way, and lets it be asked for again
				p.ledger.Unasked(r, n.Reason, n.At)
				continue
			}
			p.ledger.RefuseForNow(r, n.Reason, n.At)
			if p.refusals == 0 {
				p.refusal = []any{"first", t.Name, "reason", n.Reason, "first_slot", int(n.Slot)}
			}
			p.refusals++
			refused = true
		case topic.Assigned:
			p.ledger.Unasked(r, n.Reason, n.At)
		}
	}
	if refused { // that frees a place
		p.assignSoon(now)
	}
}
