package limiter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	pingEvery  = 25 * time.Second
	pingJitter = 0.1
)

// intervals is a number of intervals, not always a whole one.
func intervals(x float64) time.Duration { return time.Duration(x * float64(pingEvery)) }

// pings are the first n pings of a connection that opens at a time and pings when it is due.
func pings(p Pacer, open time.Time, n int, r *rand.Rand) []time.Time {
	var at []time.Time
	for now := open; len(at) < n; now = at[len(at)-1] {
		at = append(at, p.Next(now, r))
	}
	return at
}

func TestTenSlotsPingLevelOverTheInterval(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	anchor := time.Now()
	var all []time.Time
	for slot := range 10 {
		p := NewPacer(pingEvery, pingJitter, anchor, "twitch", slot, 10)
		all = append(all, pings(p, anchor.Add(upTo(time.Hour, r)), 1000, r)...)
	}

	// However the buckets lie, each of ten has its tenth: neighbours reach into each other's half at most.
	for range 20 {
		shift := upTo(pingEvery, r)
		var counts [10]int
		for _, at := range all {
			counts[(at.Sub(anchor)+shift)%pingEvery*10/pingEvery]++
		}
		for _, n := range counts {
			if n < 850 || n > 1150 {
				t.Fatalf("shifted by %v the pings fall unevenly: %v", shift, counts)
			}
		}
	}

	slices.SortFunc(all, time.Time.Compare)
	for i := range all[1:] {
		if all[i].Equal(all[i+1]) {
			t.Fatalf("two pings at %v", all[i])
		}
	}
}

func TestPingsOfOneConnectionKeepTheirDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, jitter := range []float64{0, 0.1, 0.5, 0.99} {
		lo := intervals(1 - jitter)
		hi := intervals(1 + jitter)
		for slot := range 10 {
			p := NewPacer(pingEvery, jitter, time.Now(), "twitch", slot, 10)
			at := pings(p, time.Now().Add(upTo(time.Hour, r)), 1000, r)
			for i := range at[1:] {
				if d := at[i+1].Sub(at[i]); d < lo || d > hi {
					t.Fatalf("jitter %v: %v between two pings", jitter, d)
				}
			}
		}
	}
}

func TestTheFirstPingComesWithinAnInterval(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	anchor := time.Now()
	bound := intervals(1 + pingJitter)
	latest := time.Duration(0)
	for i := range 20_000 {
		p := NewPacer(pingEvery, pingJitter, anchor, "twitch", i%10, 10)
		open := anchor.Add(upTo(10*pingEvery, r) - pingEvery) // some before the anchor
		wait := p.Next(open, r).Sub(open)
		if wait <= 0 || wait > bound {
			t.Fatalf("the first ping is due %v after the begin", wait)
		}
		latest = max(latest, wait)
	}
	if latest < pingEvery {
		t.Errorf("the latest of all first pings came after %v: the bound is not met", latest)
	}
}

func TestJitterIsUniformAndFreshEachTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	anchor := time.Now()
	p := NewPacer(pingEvery, pingJitter, anchor, "twitch", 3, 10)
	still := NewPacer(pingEvery, 0, anchor, "twitch", 3, 10)

	const n, width = 10_000, pingEvery / 10
	at, grid := pings(p, anchor, n, r), pings(still, anchor.Add(-width/2), n, r)
	var counts [10]int
	alike, prev := 0, -1
	for i := range at {
		off := at[i].Sub(grid[i]) + width/2
		if off < 0 || off >= width {
			t.Fatalf("ping %d lies %v from the grid", i, off-width/2)
		}
		bucket := int(off * 10 / width)
		counts[bucket]++
		if bucket == prev {
			alike++
		}
		prev = bucket
	}
	for _, c := range counts {
		if c < 850 || c > 1150 {
			t.Fatalf("jitter falls unevenly: %v", counts)
		}
	}
	if alike < 850 || alike > 1150 { // one in ten by chance
		t.Errorf("%d of %d pings have the jitter of the one before", alike, n)
	}
}

func TestFeedsAreOffset(t *testing.T) {
	anchor := time.Now()
	r := rand.New(rand.NewPCG(1, 1))
	var counts [10]int
	for i := range 1000 {
		p := NewPacer(pingEvery, 0, anchor, fmt.Sprintf("feed-%d", i), 0, 10)
		counts[p.Next(anchor, r).Sub(anchor)%pingEvery*10/pingEvery]++
	}
	for _, n := range counts {
		if n < 60 || n > 140 {
			t.Fatalf("the feeds' offsets fall unevenly: %v", counts)
		}
	}

	// The offset is a matter of the name alone.
	a := NewPacer(pingEvery, 0, anchor, "twitch", 0, 10)
	if again := NewPacer(pingEvery, 0, anchor, "twitch", 0, 10); a != again {
		t.Errorf("the same feed has another grid: %v, %v", a, again)
	}
	const offset = 23_753_902_518 * time.Nanosecond // from the hash of "twitch": a restart must not change it
	if got := a.Next(anchor, r).Sub(anchor); got != offset {
		t.Errorf("the grid lies %d ns from the anchor, want %d", got, offset)
	}
}

func TestASleeperDoesNotBurst(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	anchor := time.Now()
	p := NewPacer(pingEvery, pingJitter, anchor, "twitch", 3, 10)
	for range 1000 {
		woke := anchor.Add(100*pingEvery + upTo(pingEvery, r))
		at := append([]time.Time{woke}, pings(p, woke, 3, r)...)
		if d := at[2].Sub(at[0]); d < intervals(1-pingJitter) {
			t.Fatalf("three pings in %v", d)
		}
	}
}
