package accounts

import (
	"strings"
	"testing"
	"time"

	"feedmux/internal/account"
	"feedmux/limiter"
)

func options(connections int) account.Options {
	return account.Options{
		Name: "host", Connections: connections, Dials: limiter.Window{N: 1, Per: time.Second}, InFlight: 1, Hold: time.Second,
		Backoff: limiter.Backoff{Base: time.Second, Max: time.Minute, Settle: time.Minute},
	}
}

func TestAFeedThatComesBackHasTheShareThatItHad(t *testing.T) {
	all := make(All)
	a, err := all.Share("a", 6, options(10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.Share("b", 5, options(10)); err == nil {
		t.Error("11 connections of 10 were given away")
	}
	all.Part(a)
	if _, err := all.Share("b", 5, options(10)); err == nil {
		t.Error("what the upstream may still count was given away")
	}
	for range 3 {
		again, err := all.Share("a", 6, options(10))
		if err != nil || again != a {
			t.Fatalf("%v, %v", again, err)
		}
		all.Part(again)
	}
}

func TestOtherFiguresOfAnAccountNeedARestart(t *testing.T) {
	all := make(All)
	if all.Has(options(10)) {
		t.Error("there is none yet")
	}
	s, err := all.Share("a", 6, options(10))
	if err != nil {
		t.Fatal(err)
	}
	all.Part(s)
	if _, err := all.Share("a", 6, options(9)); err == nil || !strings.Contains(err.Error(), "a restart") {
		t.Error(err)
	}
	if !all.Has(options(10)) || all.Has(options(9)) {
		t.Error("which account there is")
	}
}
