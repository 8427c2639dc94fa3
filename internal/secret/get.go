package secret

import (
	"context"
	"fmt"
	"time"
)

// get runs the command, and takes what it gives, if that is due and nobody does so. Who does not watch leaves it to Watch, if
// that runs. A run that ctx ended has told nothing: it is due again.
func (s *Secret) get(ctx context.Context, watch bool) (did bool) {
	s.mu.Lock()
	source, uses := s.source, s.uses
	if did = source.isCommand() && s.plan.due(time.Now()) && (watch || !s.watched); did {
		s.plan.running, s.plan.again = true, false
	}
	s.mu.Unlock()
	if !did {
		return false
	}
	text, err := s.run(ctx, source.Command)
	var value string
	var expires time.Time
	if err == nil {
		value, expires, err = parse(text)
	}
	if err != nil {
		err = source.failed(err)
	}
	s.tell(s.end(ctx, uses, value, expires, err))
	return true
}

// end ends a run of the command. What it returns is for the log.
func (s *Secret) end(ctx context.Context, uses int, value string, expires time.Time, err error) (news error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uses != s.uses {
		return nil // there is another source by now, with a plan of its own
	}
	defer s.movedLocked()
	now, p := time.Now(), &s.plan
	if err != nil && ctx.Err() != nil {
		p.running = false
		return nil
	}
	if news = s.takeLocked(value, expires, err); err != nil {
		p.failed(now)
	} else {
		p.worked(now)
	}
	return news
}

// keep runs the command whenever it is due, until ctx ends. It calls look when there may be another value.
func (s *Secret) keep(ctx context.Context, look func()) {
	for ctx.Err() == nil {
		look()
		if s.get(ctx, true) {
			continue
		}
		wait, moved, news := s.pause()
		s.tell(news)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-moved:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// pause is for how long Watch has nothing to do with the command, unless something moves; news is for the log.
func (s *Secret) pause() (wait time.Duration, moved <-chan struct{}, news error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, p := time.Now(), &s.plan
	if p.expiry(now) {
		at := p.expires.UTC().Format(time.RFC3339)
		news = s.source.failed(fmt.Errorf("what it gave last expired at %s, and there is nothing newer", at))
	}
	return p.wait(now), s.moved, news
}
