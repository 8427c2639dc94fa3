package resume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"feedmux/internal/protocol"
	"feedmux/limiter"
)

const (
	pollWait      = 30 * time.Second // how long the upstream may wait for something to say
	answerWithin  = 15 * time.Second // beyond that
	pollRest      = time.Second      // between the begins of two polls, if the first brought nothing
	backoffMin    = time.Second
	backoffMax    = 30 * time.Second
	backoffFloor  = 100 * time.Millisecond // jitter may draw nothing at all
	maxRetryAfter = 15 * time.Minute
	maxBody       = 16 << 20
)

func newBackoff() limiter.Backoff { return limiter.Backoff{Base: backoffMin, Max: backoffMax} }

// fetch is one request and what came of it.
type fetch struct {
	after    []byte
	wait     time.Duration
	probe    bool // it is about suspect: nothing of it is handed over
	demand   int  // the Stream's, when it was made; so are
	rewinds  int
	renewals int
	cancel   context.CancelFunc

	status     int
	body       []byte
	retryAfter time.Duration
	received   time.Time
	err        error // holds no secret
}

// next is what to fetch now, or nil. It makes wake sooner if there will be something later.
func (s *Stream) next(now time.Time, wake *time.Time) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor == nil && s.met != s.demand {
		s.leaving = false
		s.metLocked() // there is nowhere to begin
	}
	if s.fetch != nil {
		if s.fetch.wait > 0 && s.met != s.demand {
			s.fetch.cancel() // a poll makes way
		}
		return nil
	}
	if s.denied || s.cursor == nil || !s.anchored || s.page != nil {
		return nil
	}
	if s.open && !s.live || !s.live && s.vouched != s.renewals && s.opts.Protocol.NeedsLife() {
		return nil // the life is about to say more, or to end; or nobody knows what would come
	}
	f := &fetch{demand: s.demand, rewinds: s.rewinds, renewals: s.renewals}
	at := s.retryAt
	switch {
	case s.suspect != nil:
		f.after, f.probe = slices.Clone(s.suspectAt), true
	case s.met != s.demand:
		f.after = slices.Clone(s.fromLocked())
	case !s.open && len(s.held) == 0:
		f.after, f.wait = slices.Clone(s.cursor), pollWait
		for _, t := range []time.Time{s.downSince.Add(s.opts.PollAfter), s.pollAt} {
			if t.After(at) {
				at = t
			}
		}
	default:
		return nil
	}
	if now.Before(at) {
		if at.Before(*wake) {
			*wake = at
		}
		return nil
	}
	if f.wait > 0 {
		s.pollAt = now.Add(pollRest)
	}
	return f
}

// ask sends the request and reads the answer.
func (s *Stream) ask(ctx context.Context, f *fetch) {
	e, err := s.opts.Protocol.Endpoint(ctx)
	if err != nil {
		f.err = fmt.Errorf("reading the credential: %w", err)
		return
	}
	if err := s.exchange(ctx, e, f); err != nil {
		var where *url.Error // names the URL, whose query may hold secrets
		if errors.As(err, &where) {
			err = where.Err
		}
		words := err.Error()
		if e.Redact != nil {
			words = e.Redact(words)
		}
		f.err = errors.New("asking the upstream: " + words)
	}
}

func (s *Stream) exchange(ctx context.Context, e protocol.Endpoint, f *fetch) error {
	req, err := s.opts.Protocol.Request(e, f.after, f.wait)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f.status = resp.StatusCode
	f.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if f.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return err
	}
	if len(f.body) > maxBody {
		return fmt.Errorf("the answer is longer than %d bytes", maxBody)
	}
	f.received = time.Now()
	return nil
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// onAnswer judges an answer.
func (s *Stream) onAnswer(f *fetch) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	denied := f.err == nil && f.status != http.StatusOK && s.opts.Protocol.Denied(f.status, f.body)
	switch {
	case denied && f.renewals != s.renewals:
		return // the credential changed meanwhile
	case denied:
		s.denied, s.refused = true, true
		s.log.Error("the upstream does not accept the credential: nothing is fetched until it changes", "status", f.status)
		s.tell()
		return
	case f.err != nil && f.wait > 0 && f.demand != s.demand:
		return // it was to make way
	case f.err != nil:
		s.tryAgain(now, f, f.err)
	case f.status != http.StatusOK && !final(f.status):
		s.tryAgain(now, f, fmt.Errorf("the upstream answered with status %d", f.status))
	case f.rewinds != s.rewinds || f.probe && s.suspect == nil:
		return // it is about a place where we are not any more
	case f.status == http.StatusOK:
		s.onOKLocked(now, f)
	default:
		s.log.Error("the upstream cannot go on from our position: what it may have had is not fetched", "status", f.status)
		s.settleBackoff()
		if f.probe {
			s.onSuspectLocked(true)
		} else if f.demand == s.demand && s.met != s.demand {
			s.giveUpLocked(now)
		}
		s.pollAt = now.Add(pollWait) // a poll that is refused will be again
	}
}

// final says that asking again would change nothing.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

func (s *Stream) onOKLocked(now time.Time, f *fetch) {
	p := &s.reading
	*p = protocol.Page{Events: p.Events[:0]}
	if err := s.opts.Protocol.Page(f.body, p); err != nil {
		s.tryAgain(now, f, fmt.Errorf("reading the upstream's answer: %w", err))
		return
	}
	end := s.endOf(p, f.after)
	if p.More && s.compare(end, f.after) <= 0 {
		s.tryAgain(now, f, errors.New("the upstream has more, and does not give it"))
		return
	}
	s.settleBackoff()
	if !f.probe {
		for range p.Skipped {
			s.opts.Tally.Skip(skipUnreadable)
		}
		s.page, s.pageAt = f, 0
		return
	}
	same := s.above // it may have spoken of higher positions meanwhile
	for i := range p.Events {
		same = same || p.Events[i].Position != nil && s.compare(p.Events[i].Position, s.cursor) >= 0
	}
	if same || !p.More {
		s.onSuspectLocked(same)
	} else {
		s.suspectAt = slices.Clone(end)
	}
}

func (s *Stream) settleBackoff() { s.backoff, s.retryAt = newBackoff(), time.Time{} }

// tryAgain lets some time pass before the next request.
func (s *Stream) tryAgain(now time.Time, f *fetch, err error) {
	s.backoff.Failed(0)
	wait := max(s.backoff.Next(s.rand), backoffFloor, f.retryAfter)
	s.retryAt = now.Add(wait)
	s.log.Warn("fetching what came in between failed", "err", err, "again_in", wait)
}
