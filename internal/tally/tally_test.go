package tally

import (
	"maps"
	"testing"
)

func TestOddEventsAreCountedByKindWithANewExampleAfterEachLook(t *testing.T) {
	var c Counter
	if got := c.Read().Odd; got != nil {
		t.Errorf("before the first: %v", got)
	}
	topic := []byte("a")
	c.Odd("high_below_low", topic)
	topic[0] = 'x' // it is the caller's
	c.Odd("high_below_low", []byte("b"))
	c.Odd("time_back", []byte("c"))
	if got, want := c.Read().Odd, map[string]Odd{"high_below_low": {2, "a"}, "time_back": {1, "c"}}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	c.Odd("high_below_low", []byte("d"))
	c.Odd("high_below_low", []byte("e"))
	if got, want := c.Read().Odd, map[string]Odd{"high_below_low": {4, "d"}, "time_back": {1, "c"}}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCountingOddEventsAllocatesNothing(t *testing.T) {
	var c Counter
	topic := []byte("a topic with a name that does not fit into a word")
	c.Odd("high_below_low", topic)
	if n := testing.AllocsPerRun(100, func() { c.Odd("high_below_low", topic) }); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}
