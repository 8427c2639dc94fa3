package scaiwave

import (
	"strings"
	"testing"

	"feedmux/internal/sim/upstream"
)

func TestOptionsThatMakeNoSenseAreNamed(t *testing.T) {
	if err := (Options{}).WithDefaults().Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, o := range map[string]Options{
		"HelloLoss":       {HelloLoss: 2},
		"SyncErrors":      {SyncErrors: -1},
		"together":        {Chunks: 0.5, Typing: 0.4, Presence: 0.3},
		"SyncErrorStatus": {SyncErrorStatus: 404},
		"SyncGone":        {SyncGone: 410},
		"Rooms":           {Rooms: -1},
		"OversizeBytes":   {OversizeBytes: 1 << 30},
		"saturate":        {Options: upstream.Options{Saturate: true}},
		"rate":            {Options: upstream.Options{Rate: -1}},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestPlannedFaultThatDoesNotHappenIsTold(t *testing.T) {
	w := New(Options{Race: true, SyncErrors: 0.5})
	w.Late()
	w.FailSync(FaultSyncCut, 2)
	if w.TakeOver(1) {
		t.Error("a connection that is not there was struck")
	}
	var got []string
	for _, f := range w.Unfired() {
		got = append(got, string(f))
	}
	if want := "late race sync_cut sync_error takeover"; strings.Join(got, " ") != want {
		t.Errorf("unfired: %q, want %q", got, want)
	}
}
