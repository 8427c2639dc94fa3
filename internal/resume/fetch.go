package resume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
)

const (
	pollWait     = 30 * time.Second // how long the upstream may wait for something to say
	answerWithin = 15 * time.Second // beyond that, and from one byte to the next
	answerMost   = 5 * time.Minute  // for all of it
	pollRest     = time.Second      // between the begins of two polls, if the first brought nothing
	maxBody      = 16 << 20
	pageEvents   = 200 // are asked for at a time: fewer after an answer that was too long, until a last page came
)

// Why a request fails, or is not made.
var (
	errSilent    = &cause.Error{Cause: cause.Timeout, Err: fmt.Errorf("nothing came for %v", answerWithin)}
	errEndless   = &cause.Error{Cause: cause.Timeout, Err: fmt.Errorf("the answer was not complete after %v", answerMost)}
	errTooLong   = &cause.Error{Cause: cause.TooBig, Err: fmt.Errorf("the answer is longer than %d bytes", maxBody)}
	errSlow      = &cause.Error{Cause: cause.Timeout, Err: errors.New("what is to be fetched takes long")}
	errDenied    = &cause.Error{Cause: cause.TokenExpired, Err: errors.New("the upstream does not accept the credential")}
	errUnvouched = &cause.Error{Cause: cause.Renewed, Err: errors.New("no connection was live with the credential that there is now")}
)

// fetch is one request and what came of it.
type fetch struct {
	after    []byte
	wait     time.Duration
	probe    bool // it is about suspect: nothing of it is handed over
	demand   int  // the Stream's, when it was made; so are
	rewinds  int
	renewals int
	most     int // events
	cancel   context.CancelFunc

	token      string // that it was, or was to be, made with
	status     int
	body       []byte
	retryAfter time.Duration
	received   time.Time
	err        error // holds no secret
	tooLong    bool  // the answer was
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
	if s.denied || s.unvouched || s.cursor == nil || !s.anchored || s.page != nil || len(s.routes.topics) == 0 {
		return nil
	}
	if s.open && !s.live || s.vouched == "" && s.opts.Protocol.NeedsLife() {
		return nil // the life is about to say more, or to end; or nobody knows what would come
	}
	f := &fetch{demand: s.demand, rewinds: s.rewinds, renewals: s.renewals, most: s.most}
	at := s.tries.at()
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, over := context.WithTimeoutCause(ctx, f.wait+answerMost, errEndless)
	defer over()
	silence := time.AfterFunc(f.wait+answerWithin, func() { cancel(errSilent) })
	defer silence.Stop()
	e, err := s.opts.Protocol.Endpoint(ctx)
	if err != nil {
		f.err = &cause.Error{Cause: cause.Auth, Err: fmt.Errorf("reading the credential: %w", err)}
		return
	}
	f.token = e.Token
	if s.isUnvouched(f) {
		f.err = errUnvouched
		return
	}
	if err := s.exchange(ctx, e, f, silence); err != nil {
		if why := context.Cause(ctx); why != nil {
			err = why
		}
		var where *url.Error // names the URL, whose query may hold secrets
		if errors.As(err, &where) {
			err = where.Err
		}
		f.err = fmt.Errorf("asking the upstream: %w", &cause.Error{Cause: cause.Of(err), Err: hide(err, e.Token)})
		f.tooLong = errors.Is(err, errTooLong) || errors.Is(err, errEndless)
	}
}

// hide makes an error without a secret of one that may quote what the upstream says.
func hide(err error, secret string) error {
	words := err.Error()
	quoted := strconv.Quote(secret)
	for _, s := range []string{secret, url.QueryEscape(secret), quoted[1 : len(quoted)-1]} {
		if s != "" {
			words = strings.ReplaceAll(words, s, "[hidden]")
		}
	}
	return errors.New(words)
}

// isUnvouched says that nobody knows whose answer a request would bring.
func (s *Stream) isUnvouched(f *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Protocol.NeedsLife() && f.token != s.vouched
}

func (s *Stream) exchange(ctx context.Context, e protocol.Endpoint, f *fetch, silence *time.Timer) error {
	req, err := s.opts.Protocol.Request(e, f.after, f.most, f.wait)
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
	if f.body, err = io.ReadAll(io.LimitReader(patient{resp.Body, silence}, maxBody+1)); err != nil {
		return err
	}
	if len(f.body) > maxBody {
		return errTooLong
	}
	f.received = time.Now()
	return nil
}

// patient puts silence off with each byte.
type patient struct {
	io.Reader
	silence *time.Timer
}

func (p patient) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.silence.Reset(answerWithin)
	}
	return n, err
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
	if f.err == nil && !final(f.status) {
		s.tries.finals = 0
	}
	failed := f.err
	if failed == nil && f.status != http.StatusOK {
		failed = &cause.Error{Cause: cause.OfStatus(f.status), Err: fmt.Errorf("the upstream answered with status %d", f.status)}
	}
	switch {
	case f.err == errUnvouched:
		s.unvouched = f.token != s.vouched && f.renewals == s.renewals // else it is another one, or was vouched for meanwhile
		s.tell()
	case f.err != nil && f.wait > 0 && f.demand != s.demand:
		return // it was to make way
	case f.err != nil:
		if f.tooLong {
			s.most = max(f.most/2, 1)
		}
		s.tryAgainLocked(now, f, failed)
	case f.status != http.StatusOK && s.opts.Protocol.Denied(f.status, f.body):
		s.onDeniedLocked(now, f, failed)
	case f.status != http.StatusOK && !final(f.status):
		s.tryAgainLocked(now, f, failed)
	case f.rewinds != s.rewinds || f.probe && s.suspect == nil:
		return // it is about a place where we are not any more
	case f.status == http.StatusOK:
		s.onOKLocked(now, f)
	case !s.tries.final(now) || !f.probe && (f.demand != s.demand || s.met == s.demand):
		s.tryAgainLocked(now, f, failed)
	default:
		s.sayLocked(slog.LevelError, "the upstream cannot go on from our position: what it may have had is not fetched",
			"cause", cause.OfStatus(f.status), "status", f.status)
		s.tries = newTries()
		if f.probe {
			s.onSuspectLocked(true)
		} else {
			s.giveUpLocked(now)
		}
	}
}

// onDeniedLocked judges an answer which says that the credential is not accepted.
func (s *Stream) onDeniedLocked(now time.Time, f *fetch, failed error) {
	if f.renewals != s.renewals {
		return // it changed meanwhile
	}
	if s.live && !s.tries.refused(now) {
		s.tryAgainLocked(now, f, failed)
		return
	}
	s.denied, s.refused, s.tries.refusals = true, true, 0
	s.sayLocked(slog.LevelError, "the upstream does not accept the credential: nothing is fetched until it changes",
		"cause", cause.TokenExpired, "status", f.status)
	s.tell()
}

func (s *Stream) onOKLocked(now time.Time, f *fetch) {
	p := &s.reading
	*p = protocol.Page{Events: p.Events[:0]}
	if err := s.opts.Protocol.Page(f.body, p); err != nil {
		s.tryAgainLocked(now, f, &cause.Error{Cause: cause.ProtocolError, Err: fmt.Errorf("reading the upstream's answer: %w", err)})
		return
	}
	end := s.endOf(p, f.after)
	if p.More && s.compare(end, f.after) <= 0 {
		s.tryAgainLocked(now, f, &cause.Error{Cause: cause.ProtocolError, Err: errors.New("the upstream has more, and does not give it")})
		return
	}
	s.tries = newTries()
	if !f.probe {
		if p.Missed > 0 {
			s.missLocked(now)
		}
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

// missLocked notes that the upstream does not give all of what comes next.
func (s *Stream) missLocked(now time.Time) {
	if !s.failed {
		s.failed, s.had = true, s.sent
	}
	s.spoilt = s.spoilt || !s.lost.From.IsZero()
	if s.caughtUp && !s.left.IsZero() {
		s.addGapLocked(Gap{From: s.left, To: now, Cause: cause.ProtocolError})
		s.left = now
	}
}

// tryAgainLocked lets some time pass before the next request.
func (s *Stream) tryAgainLocked(now time.Time, f *fetch, err error) {
	most := maxRetryAfter
	if s.live {
		most = maxLifeWaits
	}
	wait := s.tries.failed(now, err, min(f.retryAfter, most), s.rand)
	s.sayLocked(slog.LevelWarn, "fetching what came in between failed", "cause", cause.Of(err), "error", err, "again_in", wait)
}
