package scaiwave

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"feedmux/internal/sim/upstream"
	"feedmux/internal/sim/websocket"
)

// The faults of ScaiWave, beside those that every upstream can have.
const (
	FaultDuplicate   upstream.Fault = "duplicate"
	FaultExpire      upstream.Fault = "expire"
	FaultGarbage     upstream.Fault = "garbage"
	FaultHelloDelay  upstream.Fault = "hello_delay"
	FaultHelloLoss   upstream.Fault = "hello_loss"
	FaultLate        upstream.Fault = "late"
	FaultOversize    upstream.Fault = "oversize"
	FaultPingTimeout upstream.Fault = "ping_timeout"
	FaultRace        upstream.Fault = "race"
	FaultRebuild     upstream.Fault = "rebuild"
	FaultTakeover    upstream.Fault = "takeover"
	FaultUnknown     upstream.Fault = "unknown"

	FaultSyncCut     upstream.Fault = "sync_cut"
	FaultSyncDelay   upstream.Fault = "sync_delay"
	FaultSyncError   upstream.Fault = "sync_error"
	FaultSyncGone    upstream.Fault = "sync_gone"
	FaultSyncLimit   upstream.Fault = "sync_limit"
	FaultSyncReset   upstream.Fault = "sync_reset"
	FaultSyncSilence upstream.Fault = "sync_silence"
)

func (w *ScaiWave) plansLocked() []upstream.Plan {
	o := &w.o
	return []upstream.Plan{
		{Fault: FaultDuplicate, Wanted: o.Duplicate > 0},
		{Fault: FaultUnknown, Wanted: o.Unknown > 0},
		{Fault: FaultHelloDelay, Wanted: o.HelloDelay > 0},
		{Fault: FaultHelloLoss, Wanted: o.HelloLoss > 0},
		{Fault: FaultRace, Wanted: o.Race},
		{Fault: FaultSyncDelay, Wanted: o.SyncDelay > 0},
		{Fault: FaultSyncError, Wanted: o.SyncErrors > 0},
		{Fault: FaultSyncLimit, Wanted: o.SyncLimits > 0},
		{Fault: FaultSyncGone, Wanted: o.SyncGone > 0},
		{Fault: FaultSyncCut, Wanted: o.SyncCuts > 0},
		{Fault: FaultSyncReset, Wanted: o.SyncResets > 0},
		{Fault: FaultSyncSilence, Wanted: o.SyncSilences > 0},
		{Fault: FaultLate, Every: o.LateEvery, Strike: lateLocked},
		{Fault: FaultRebuild, Every: o.RebuildEvery, Strike: rebuildLocked},
		{Fault: FaultTakeover, Every: o.TakeoverEvery, Strike: takeOverLocked},
		{Fault: FaultPingTimeout, Every: o.PingTimeoutEvery, Strike: pingTimeoutLocked},
		{Fault: FaultExpire, Every: o.ExpireEvery, Strike: expireLocked},
		{Fault: FaultGarbage, Every: o.GarbageEvery, Strike: garbageLocked},
		{Fault: FaultOversize, Every: o.OversizeEvery, Strike: oversizeLocked},
	}
}

// TakeOver closes connection id with 4003 duplicate_connection, as if somebody else had signed in. It returns false where
// there is no such open connection, as the methods do that take an id.
func (w *ScaiWave) TakeOver(id int) bool { return w.Inject(FaultTakeover, id, takeOverLocked) }

// PingTimeout closes the connection with 4003 ping_timeout, whatever it answered.
func (w *ScaiWave) PingTimeout(id int) bool { return w.Inject(FaultPingTimeout, id, pingTimeoutLocked) }

// Expire closes the connection with 4001. The token is still good when it is tried again.
func (w *ScaiWave) Expire(id int) bool { return w.Inject(FaultExpire, id, expireLocked) }

// Garbage sends a text message that is not JSON: the first half of one that is.
func (w *ScaiWave) Garbage(id int) bool { return w.Inject(FaultGarbage, id, garbageLocked) }

// Oversize sends the connection a chunk of OversizeBytes, and nobody else.
func (w *ScaiWave) Oversize(id int) bool { return w.Inject(FaultOversize, id, oversizeLocked) }

// Late makes the event after the next one with a position become visible late: the next one has the higher position.
func (w *ScaiWave) Late() {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.PlanLocked(FaultLate, 1)
	w.log.late++
}

// FailSync makes fault f befall the next n requests to sync, after those that were planned before. f is one of the
// FaultSync… that an option gives a share of, or FaultSyncGone, then with 404 if SyncGone is 0.
func (w *ScaiWave) FailSync(f upstream.Fault, n int) {
	switch f {
	case FaultSyncCut, FaultSyncError, FaultSyncGone, FaultSyncLimit, FaultSyncReset, FaultSyncSilence:
	default:
		panic(fmt.Sprintf("scaiwave: bug: %s does not befall a request to sync", f))
	}
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.PlanLocked(f, n)
	w.due = append(w.due, slices.Repeat([]upstream.Fault{f}, n)...)
}

// syncFaultLocked says what befalls a request to sync; "": nothing.
func (w *ScaiWave) syncFaultLocked() upstream.Fault {
	o := &w.o
	fault := upstream.Fault("")
	for _, by := range []struct {
		fault upstream.Fault
		share float64
	}{
		{FaultSyncError, o.SyncErrors},
		{FaultSyncLimit, o.SyncLimits},
		{FaultSyncCut, o.SyncCuts},
		{FaultSyncReset, o.SyncResets},
		{FaultSyncSilence, o.SyncSilences},
	} {
		if strikes := w.chance.Float64() < by.share; strikes && fault == "" {
			fault = by.fault
		}
	}
	if o.SyncGone > 0 {
		fault = FaultSyncGone
	}
	if len(w.due) > 0 {
		fault, w.due = w.due[0], w.due[1:]
	}
	return fault
}

// lateLocked fires when the event is late, not now.
func lateLocked(c *upstream.Client) bool {
	if l := &clientOf(c).w.log; l.late == 0 {
		l.late++
	}
	return false
}

func rebuildLocked(c *upstream.Client) bool {
	clientOf(c).w.rebuildLocked()
	return true
}

func takeOverLocked(c *upstream.Client) bool {
	c.CloseLocked(closeAborted, reasonDuplicate)
	return true
}

func pingTimeoutLocked(c *upstream.Client) bool {
	c.CloseLocked(closeAborted, reasonPingTimeout)
	return true
}

func expireLocked(c *upstream.Client) bool {
	c.CloseLocked(closeBadToken, codeInvalidToken)
	return true
}

func garbageLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	e := Event{Room: "room-1", Type: TypeChunk, Sender: "user-1", OriginTS: time.Now().Unix()}
	whole := c.w.appendEphemeral(nil, &e, "garbage")
	c.sayLocked(whole[:len(whole)/2])
	return true
}

func oversizeLocked(uc *upstream.Client) bool {
	c := clientOf(uc)
	e := Event{Room: "room-1", Type: TypeChunk, Sender: "user-1", OriginTS: time.Now().Unix()}
	small := c.w.appendEphemeral(nil, &e, "")
	padding := bytes.Repeat([]byte("x"), max(0, c.w.o.OversizeBytes-len(small)))
	whole := c.w.appendEphemeral(nil, &e, string(padding))
	c.QueueLocked(websocket.Text(whole), nil)
	return true
}
