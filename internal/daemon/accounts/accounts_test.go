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

// What Without and Take say of feeds that come later is what Share then does.
func TestWhetherFeedsWillHaveAShareIsKnownBefore(t *testing.T) {
	other := options(10)
	other.Name = "other"
	for what, test := range map[string]struct {
		coming int
		of     account.Options
		again  int
		words  string
	}{
		"the share of one that goes":        {6, options(10), 0, ""},
		"what is left beside it":            {4, options(10), 0, ""},
		"more than what is left":            {5, options(10), 0, "no 5 connections"},
		"the same share twice":              {6, options(10), 6, "no 6 connections"},
		"other figures":                     {6, options(9), 0, "other figures"},
		"an account that nobody has joined": {10, other, 0, ""},
		"too much of it":                    {10, other, 1, "no 1 connections"},
	} {
		all := make(All)
		a, err := all.Share("a", 6, options(10))
		if err != nil {
			t.Fatal(err)
		}
		ask := func(take func(int, account.Options) error) error {
			err := take(test.coming, test.of)
			if err == nil && test.again > 0 {
				err = take(test.again, test.of)
			}
			return err
		}
		before := ask(all.Without([]*account.Share{a}).Take)
		all.Part(a)
		after := ask(func(n int, o account.Options) error { _, err := all.Share("b", n, o); return err })
		if (before == nil) != (after == nil) || (before == nil) != (test.words == "") || before != nil && !strings.Contains(before.Error(), test.words) {
			t.Errorf("%s: %v before, %v then", what, before, after)
		}
	}
}
