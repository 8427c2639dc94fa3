package pool

import (
	"errors"
	"fmt"
	"time"

	"feedmux/internal/conn"
	"feedmux/shard"
)

// Settings are what may change while a pool runs. Options holds those to begin with.
type Settings struct {
	Conn                conn.Settings // of lives that are dialled from now on
	TopicsPerConnection int
	Placement           shard.Placement
	Dwell               time.Duration
}

// settings are those to begin with.
func (o *Options) settings() *Settings {
	return &Settings{o.Conn.Settings, o.TopicsPerConnection, o.Placement, o.Dwell}
}

func (s *Settings) check(how Overflow) error {
	if s.TopicsPerConnection < 1 {
		return errors.New("pool: topics per connection must be 1 or more")
	}
	if how == Turns && s.Dwell <= 0 {
		return errors.New("pool: where topics take turns, dwell must be positive")
	}
	if err := s.Conn.Check(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}

// Configure replaces the settings, whole. Lives that are open, or being opened, keep those of their connection until they end:
// Renew, called afterwards, replaces them all. All else counts at once: topics for which there is no room any more lose their
// place, the least wanted first, and nobody else moves. A slot that waits for its backoff waits on; the next wait is the new
// one's. It never waits, and may be called at any time by any goroutine. An error means that nothing has changed.
func (p *Pool) Configure(s Settings) error {
	if err := s.check(p.opts.Overflow); err != nil {
		return err
	}
	p.newest.Store(&s)
	raise(p.configured)
	return nil
}

// connSettings are the newest. Any goroutine may ask.
func (p *Pool) connSettings() *conn.Settings { return &p.newest.Load().Conn }

// onSettings lets the newest settings count.
func (p *Pool) onSettings(now time.Time) {
	p.settings = p.newest.Load()
	p.opts.Conn.Share.SetBackoff(p.settings.Conn.Backoff)
	if !p.ending {
		p.assign(now)
	}
}
