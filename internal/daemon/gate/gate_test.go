package gate

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
)

func TestWhoWaitsInVainIsToldWhoIsInAndSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("the start")
		g.Leave()
		if err := g.Enter(t.Context(), "uid 1000 (anna)"); err != nil {
			t.Fatal(err)
		}
		since := time.Now().Format(time.TimeOnly)
		time.Sleep(30 * time.Second)
		ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
		defer end()
		err := g.Enter(ctx, "uid 0 (root)")
		if err == nil || !strings.Contains(err.Error(), "uid 1000 (anna) has been changing something since "+since+", for 50s") ||
			strings.Contains(err.Error(), "context") {
			t.Error(err)
		}
		g.Leave()
		if err := g.Enter(t.Context(), "uid 0 (root)"); err != nil {
			t.Error(err)
		}
	})
}

func TestTheGateIsNotForThoseWhoAreGone(t *testing.T) {
	g := New("the start")
	g.Leave()
	ctx, end := context.WithCancel(t.Context())
	end()
	for range 20 { // both ways are open
		if g.Enter(ctx, "somebody") == nil {
			t.Fatal("it was let in")
		}
	}
	if err := g.Enter(t.Context(), "another"); err != nil {
		t.Error(err)
	}
}
