package resume

import (
	"math/rand/v2"
	"net/http"
	"time"

	"feedmux/internal/cause"
	"feedmux/limiter"
)

const (
	backoffMin    = time.Second
	backoffMax    = 30 * time.Second
	backoffFloor  = 100 * time.Millisecond // jitter may draw nothing at all
	maxRetryAfter = 15 * time.Minute
	maxLifeWaits  = time.Minute // the same, while a live life waits for what is to be fetched

	// One answer may be that of a proxy, or of an upstream that is being replaced just now.
	finalTries, finalFor     = 5, 5 * time.Minute
	refusedTries, refusedFor = 3, time.Minute // while a life is live with the same credential

	behindAfter = 30 * time.Second // a live life with something to be fetched is not whole any more
)

// tries are how requests went of late, and when the next one may be made.
type tries struct {
	backoff limiter.Backoff
	retryAt time.Time // our own
	quiet   time.Time // the upstream's
	trouble error     // why the newest one failed; nil: it did not

	finals       int // answers in a row which say that asking again would change nothing
	finalSince   time.Time
	refusals     int // of the credential, since a request went well
	refusedSince time.Time
}

func newTries() tries { return tries{backoff: limiter.Backoff{Base: backoffMin, Max: backoffMax}} }

// at is when the next request may be made.
func (t *tries) at() time.Time {
	if t.quiet.After(t.retryAt) {
		return t.quiet
	}
	return t.retryAt
}

// failed lets some time pass before the next request.
func (t *tries) failed(now time.Time, err error, retryAfter time.Duration, r *rand.Rand) (wait time.Duration) {
	t.backoff.Failed(0)
	t.trouble = err
	t.retryAt, t.quiet = now.Add(max(t.backoff.Next(r), backoffFloor)), now.Add(retryAfter)
	return t.at().Sub(now)
}

// hurry forgets how long our own waits are by now.
func (t *tries) hurry(now time.Time) {
	t.backoff, t.retryAt = newTries().backoff, time.Time{}
	if latest := now.Add(maxLifeWaits); t.quiet.After(latest) {
		t.quiet = latest
	}
}

// final counts an answer which says that asking again would change nothing. It says whether to believe it.
func (t *tries) final(now time.Time) bool {
	if t.finals++; t.finals == 1 {
		t.finalSince = now
	}
	return t.finals >= finalTries && now.Sub(t.finalSince) >= finalFor
}

// refused counts an answer which says that the credential is not accepted, though a life is live with it. It says whether to
// believe it.
func (t *tries) refused(now time.Time) bool {
	if t.refusals++; t.refusals == 1 {
		t.refusedSince = now
	}
	return t.refusals >= refusedTries && now.Sub(t.refusedSince) >= refusedFor
}

// final says that a status is one of those which tell that asking again would change nothing.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// watch notes for how long a live life has waited for what is to be fetched, though the Taker has room.
func (s *Stream) watch(now time.Time, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.live || !room || s.met == s.demand && s.suspect == nil || len(s.routes.topics) == 0:
		s.unmet = time.Time{}
	case s.unmet.IsZero():
		s.unmet = now
	case s.caughtUp && now.Sub(s.unmet) >= behindAfter:
		s.anewLocked()
		s.behind = s.unmet
		s.tell()
	}
}

// whyLocked says why what is to be fetched does not come.
func (s *Stream) whyLocked() (cause.Cause, error) {
	switch err := s.tries.trouble; {
	case s.denied:
		return cause.TokenExpired, errDenied
	case s.unvouched:
		return cause.Renewed, errUnvouched
	case err != nil:
		return cause.Of(err), err
	}
	return cause.Timeout, errSlow
}
