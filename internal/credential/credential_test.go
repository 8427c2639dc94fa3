package credential

import (
	"sync"
	"testing"

	"feedmux/shard"
)

// wantMay fails unless exactly these of three slots may dial. Who may asks last: to be allowed is to be the one that tries.
func wantMay(t *testing.T, c *Credential, changes int, want [3]bool) {
	t.Helper()
	for _, allowed := range []bool{true, false} {
		for s, ok := range want {
			if ok != allowed {
				continue
			}
			if n, got := c.May(shard.Slot(s)); got != ok || n != changes {
				t.Errorf("slot %d: %v with secret %d; want %v with %d", s, got, n, ok, changes)
			}
		}
	}
}

var all, none = [3]bool{true, true, true}, [3]bool{}

func TestWhoMayDial(t *testing.T) {
	first, second := [3]bool{true, false, false}, [3]bool{false, true, false}
	for _, row := range []struct {
		name    string
		do      func(*Credential)
		changes int
		want    [3]bool
	}{
		{"nothing is known against it", func(*Credential) {}, 0, all},
		{"it changed", func(c *Credential) { c.Changed() }, 1, all},
		{"it was refused", func(c *Credential) { c.Refused(0) }, 0, none},
		{"an older one was refused", func(c *Credential) { c.Changed(); c.Refused(0) }, 1, first},
		{"it changed after it was refused", func(c *Credential) { c.Refused(0); c.Changed() }, 1, first},
		{"and was refused again", func(c *Credential) { c.Refused(0); c.Changed(); c.May(0); c.Refused(1) }, 1, none},
		{"and was accepted", func(c *Credential) { c.Refused(0); c.Changed(); c.May(0); c.Accepted(1) }, 1, all},
		{"an older one is accepted late", func(c *Credential) { c.Changed(); c.Refused(1); c.Accepted(0) }, 1, none},
		{"an older one is refused late", func(c *Credential) { c.Changed(); c.Refused(1); c.Refused(0); c.Changed() }, 2, first},
		{"another slot tries", func(c *Credential) { c.Refused(0); c.Changed(); c.May(1) }, 1, second},
		{"the one that tries gives up", func(c *Credential) { c.Refused(0); c.Changed(); c.May(1); c.GivenUp(1) }, 1, first},
		{"one that does not try gives up", func(c *Credential) { c.Refused(0); c.Changed(); c.May(1); c.GivenUp(2) }, 1, second},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c Credential
			row.do(&c)
			wantMay(t, &c, row.changes, row.want)
			if n := c.changes; n != row.changes {
				t.Errorf("%d changes", n)
			}
		})
	}
}

func TestOfManyWhoAskAtOnceOneTries(t *testing.T) {
	var c Credential
	for round := range 100 {
		c.Refused(round)
		c.Changed()
		var group sync.WaitGroup
		may := make([]bool, 10)
		for s := range may {
			group.Go(func() { _, may[s] = c.May(shard.Slot(s)) })
		}
		group.Wait()
		n := 0
		for _, ok := range may {
			if ok {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d slots may dial", round, n)
		}
	}
}

func TestWhoeverWantsToKnowHearsOnceThatTheNewestSecretIsDead(t *testing.T) {
	heard := 0
	c := New(func() { heard++ })
	c.Refused(0)
	c.Refused(0)
	if heard != 1 {
		t.Fatalf("heard %d times of the first secret, want once", heard)
	}
	c.Changed()
	c.Changed()
	c.Refused(1)
	if heard != 1 {
		t.Error("heard of a secret that is not the newest")
	}
	c.Refused(2)
	if heard != 2 {
		t.Error("not heard of the newest")
	}
}
