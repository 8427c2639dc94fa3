package scaiwave

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"feedmux/internal/sim/split"
	"feedmux/internal/sim/upstream"
)

// Codes of errors.
const (
	codeInvalidToken = "SW_AUTH_INVALID_TOKEN"
	codeExpiredToken = "SW_AUTH_EXPIRED_TOKEN"
	codeRateLimit    = "SW_RATE_LIMIT_EXCEEDED"
	codePermission   = "SW_AUTH_INSUFFICIENT_PERMISSION"
	codeNoTenant     = "SW_TENANT_NOT_FOUND"
	codeNotFound     = "SW_NOT_FOUND"        // a choice
	codeBadRequest   = "SW_VALIDATION_ERROR" // a choice
)

const (
	syncLimit    = 100
	maxSyncLimit = 500
	syncTimeout  = 30 * time.Second
)

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func refusal(status int, code, message string) answer {
	return answer{
		status: status, header: http.Header{"Content-Type": {"application/json"}},
		body: fmt.Appendf(nil, `{"error":{"code":%s,"message":%s}}`, quote(code), quote(message)),
	}
}

// ServeHTTP is for the port.
func (w *ScaiWave) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/sync" {
		refusal(http.StatusNotFound, codeNotFound, "no such page").write(rw)
		return
	}
	rec := SyncRecord{At: time.Now()}
	w.Mu.Lock()
	fault, delay := w.syncFaultLocked(), w.o.SyncDelay
	w.Mu.Unlock()
	a := w.answer(r, &rec, fault, delay)
	rec.Status = a.status
	broken := a.status != 0 && (fault == FaultSyncCut || fault == FaultSyncReset)
	if broken {
		w.strike(&rec, fault)
	}
	w.noteSync(rec) // before the client can know
	switch {
	case a.status == 0:
		panic(http.ErrAbortHandler) // else an empty answer would be written
	case broken:
		a.writeHalf(rw, fault == FaultSyncReset)
	default:
		a.write(rw)
		w.race(&rec)
	}
}

// strike notes that the fault befell the request.
func (w *ScaiWave) strike(rec *SyncRecord, fault upstream.Fault) {
	rec.Fault = fault
	w.count(fault)
}

func (w *ScaiWave) noteSync(r SyncRecord) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	r.Until = time.Now()
	w.syncs = upstream.AppendBounded(w.syncs, r)
	w.Log.Info("sync", "since", r.Since, "limit", r.Limit, "timeout", r.Timeout, "status", r.Status,
		"events", r.Events, "next", r.Next, "more", r.More, "fault", r.Fault)
}

// answer returns the answer to a request, once there is one. Its status is 0 if the client left before.
func (w *ScaiWave) answer(r *http.Request, rec *SyncRecord, fault upstream.Fault, delay time.Duration) answer {
	if fault == FaultSyncSilence {
		w.strike(rec, fault)
		<-r.Context().Done()
		return answer{}
	}
	if delay > 0 {
		w.count(FaultSyncDelay)
		if !wait(r.Context(), delay) {
			return answer{}
		}
	}
	if a, refused := w.refuse(fault); refused {
		w.strike(rec, fault)
		return a
	}
	return w.page(r, rec)
}

func (w *ScaiWave) count(f upstream.Fault) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.CountLocked(f)
}

// wait returns false if ctx is done before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// refuse returns the answer to a request that is refused whoever asks.
func (w *ScaiWave) refuse(fault upstream.Fault) (a answer, refused bool) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	o := &w.o
	switch {
	case fault == FaultSyncError: // not the server's own page, but that of what stands before it
		status := o.SyncErrorStatus
		return answer{
			status, http.Header{"Content-Type": {"text/html"}},
			fmt.Appendf(nil, "<html><body><h1>%d %s</h1></body></html>\n", status, http.StatusText(status)),
		}, true
	case fault == FaultSyncLimit:
		a = refusal(http.StatusTooManyRequests, codeRateLimit, "too many requests")
		a.header.Set("Retry-After", strconv.Itoa(int(o.SyncRetryAfter.Round(time.Second)/time.Second)))
		return a, true
	case fault == FaultSyncGone && o.SyncGone == http.StatusForbidden:
		return refusal(http.StatusForbidden, codePermission, "not allowed"), true
	case fault == FaultSyncGone:
		return refusal(http.StatusNotFound, codeNoTenant, "no such tenant"), true
	}
	return answer{}, false
}

// page is answer for a server that works.
func (w *ScaiWave) page(r *http.Request, rec *SyncRecord) answer {
	if r.Method != http.MethodGet {
		return refusal(http.StatusMethodNotAllowed, codeBadRequest, "GET only")
	}
	if a := w.authorise(r); a.status != 0 {
		return a
	}
	if err := rec.read(r.URL.Query()); err != nil {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		w.ViolationLocked(RuleSync, err.Error())
		return refusal(http.StatusUnprocessableEntity, codeBadRequest, err.Error())
	}
	timer := time.NewTimer(rec.Timeout)
	defer timer.Stop()
	for timeout := false; ; {
		w.Mu.Lock()
		if rec.Limit > maxSyncLimit {
			w.ViolationLocked(RuleSync, fmt.Sprintf("limit %d", rec.Limit))
			rec.Limit = maxSyncLimit
		}
		events, next, more := w.log.page(rec.Since, rec.Limit)
		news := w.log.news
		w.Mu.Unlock()
		if len(events) > 0 || timeout {
			rec.Events, rec.Next, rec.More = len(events), next, more
			return pageOf(events, next, more)
		}
		select {
		case <-r.Context().Done():
			return answer{}
		case <-timer.C:
			timeout = true
		case <-news:
		}
	}
}

// authorise returns the refusal of a request without a good token.
func (w *ScaiWave) authorise(r *http.Request) answer {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Mu.Lock()
	defer w.Mu.Unlock()
	switch {
	case w.isGoodLocked(token):
		return answer{}
	case w.spent[token]:
		return refusal(http.StatusUnauthorized, codeExpiredToken, "the token has expired")
	}
	return refusal(http.StatusUnauthorized, codeInvalidToken, "the token is not valid")
}

// read reads what was asked for.
func (r *SyncRecord) read(q url.Values) error {
	figure := func(name string, standard int64) (int64, error) {
		if !q.Has(name) {
			return standard, nil
		}
		v, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || v < 0 {
			return 0, fmt.Errorf("%s: %.40q is not a number from 0", name, q.Get(name))
		}
		return v, nil
	}
	since, err := figure("since", 0)
	if err != nil {
		return err
	}
	limit, err := figure("limit", syncLimit)
	if err != nil {
		return err
	}
	timeout, err := figure("timeout", syncTimeout.Milliseconds())
	if err != nil {
		return err
	}
	const longest = int64(time.Hour / time.Millisecond)
	r.Since, r.Limit = since, int(max(1, min(limit, 1<<30)))
	r.Timeout = time.Duration(min(timeout, longest)) * time.Millisecond
	return nil
}

func pageOf(events []Event, next int64, more bool) answer {
	body := []byte(`{"data":{"events":[`)
	for i := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendSynced(body, &events[i])
	}
	body = fmt.Appendf(body, `],"next_cursor":%d,"has_more":%t},"meta":{}}`, next, more)
	return answer{http.StatusOK, http.Header{"Content-Type": {"application/json"}}, body}
}

func (a answer) begin(rw http.ResponseWriter) {
	for name, values := range a.header {
		rw.Header()[name] = values
	}
	rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	rw.WriteHeader(a.status)
}

func (a answer) write(rw http.ResponseWriter) {
	a.begin(rw)
	_, _ = rw.Write(a.body) // a client that left is none of ours
	_ = http.NewResponseController(rw).Flush()
}

// writeHalf ends the connection in the middle of the body.
func (a answer) writeHalf(rw http.ResponseWriter, reset bool) {
	a.begin(rw)
	_, _ = rw.Write(a.body[:len(a.body)/2])
	control := http.NewResponseController(rw)
	_ = control.Flush()
	nc, _, err := control.Hijack()
	if err != nil {
		return // it is gone already
	}
	if reset {
		split.Reset(nc)
	} else {
		_ = nc.Close()
	}
}

// race lets the event happen that Race wants after an answer.
func (w *ScaiWave) race(rec *SyncRecord) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if w.o.Race && !w.raced && rec.Status == http.StatusOK && !rec.More {
		w.raced = true
		w.CountLocked(FaultRace)
		w.publishLocked(time.Now(), "room-1", TypeMessage, "")
	}
}
