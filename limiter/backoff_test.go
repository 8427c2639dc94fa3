package limiter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// wantUniform fails unless the delays of b fill the range from zero to ceiling evenly.
func wantUniform(t *testing.T, b *Backoff, ceiling time.Duration) {
	t.Helper()
	const draws, buckets = 4000, 8
	r := rand.New(rand.NewPCG(1, 1))
	var counts [buckets]int
	for range draws {
		d := b.Next(r)
		if d < 0 || d > ceiling {
			t.Fatalf("a delay of %v, want at most %v", d, ceiling)
		}
		counts[min(int(float64(d)/float64(ceiling)*buckets), buckets-1)]++
	}
	for _, n := range counts {
		if n < draws/buckets*8/10 || n > draws/buckets*12/10 {
			t.Fatalf("delays up to %v fall unevenly: %v", ceiling, counts)
		}
	}
}

func TestDelaysDoubleUpToTheMaximum(t *testing.T) {
	b := Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute}
	wantUniform(t, &b, time.Second)
	for n, ceiling := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 120, 120, 120} {
		b.Failed(0)
		if b.Failures() != n+1 {
			t.Errorf("%d failures, want %d", b.Failures(), n+1)
		}
		wantUniform(t, &b, ceiling*time.Second)
	}
	for range 1000 {
		b.Failed(0)
	}
	wantUniform(t, &b, 2*time.Minute)
}

func TestASettledLifeStartsOver(t *testing.T) {
	b := Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute}
	for range 5 {
		b.Failed(0)
	}
	b.Failed(time.Minute - 1)
	wantUniform(t, &b, (time.Minute-1)/5)
	b.Failed(time.Minute)
	if b.Failures() != 1 {
		t.Errorf("%d failures after a settled life", b.Failures())
	}
	wantUniform(t, &b, time.Second)
	b.Failed(0)
	wantUniform(t, &b, 2*time.Second)
}

func TestAfterALongLifeTheDelayIsAtMostAFifthOfIt(t *testing.T) {
	for _, tt := range []struct{ lived, ceiling time.Duration }{
		{time.Millisecond, 2 * time.Minute},
		{10*time.Second - 1, 2 * time.Minute},
		{10 * time.Second, 2 * time.Second},
		{50 * time.Second, 10 * time.Second},
	} {
		b := Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute}
		for range 20 {
			b.Failed(0)
		}
		b.Failed(tt.lived)
		wantUniform(t, &b, tt.ceiling)
		b.Failed(0) // the life is no longer the last thing that was
		wantUniform(t, &b, 2*time.Minute)
	}
}

func TestFailuresOfOthersRaiseTheDelayAndAreForgottenWithOnesOwn(t *testing.T) {
	b := Backoff{Base: time.Second, Max: 2 * time.Minute, Settle: time.Minute}
	b.Failed(0)
	b.Raise(0)
	wantUniform(t, &b, time.Second)
	b.Raise(3)
	wantUniform(t, &b, 8*time.Second)
	b.Failed(20 * time.Second)
	b.Raise(1)
	wantUniform(t, &b, 4*time.Second) // a fifth of that life
	b.Ended(time.Minute)
	b.Failed(0)
	wantUniform(t, &b, time.Second)
}

func TestBackoffWithOddSettings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, b := range []Backoff{
		{},
		{Base: time.Second},
		{Base: 1, Max: 1},
		{Max: time.Second},
		{Base: 1, Max: math.MaxInt64},
		{Base: math.MaxInt64, Max: math.MaxInt64},
		{Base: time.Minute, Max: time.Second},
		{Base: time.Second, Max: time.Minute, Settle: 0},
	} {
		for n := range 200 {
			if d := b.Next(r); d < 0 || d > b.Max {
				t.Fatalf("%+v: delay %v", b, d)
			}
			b.Failed(0)
			if b.Failures() != n+1 {
				t.Fatalf("%+v: a failed dial settled", b)
			}
		}
	}
}

func TestTheFirstRetryAtOnceIsFollowedByTheUsualOnes(t *testing.T) {
	b := Backoff{Base: time.Second, Max: 30 * time.Second, Settle: time.Minute, AtOnce: true}
	for range 2 {
		b.Failed(time.Hour) // it settled: what failed before is forgotten
		if d := b.Next(rand.New(rand.NewPCG(1, 1))); d != 0 {
			t.Errorf("the first delay is %v", d)
		}
		for _, ceiling := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			b.Failed(0)
			wantUniform(t, &b, ceiling*time.Second)
		}
	}
}

func TestAChangedBackoffKeepsItsFailures(t *testing.T) {
	b := Backoff{Base: time.Second, Max: time.Hour, Settle: time.Minute}
	for range 4 {
		b.Failed(0)
	}
	b.Change(Backoff{Base: time.Millisecond, Max: time.Minute, Settle: time.Second})
	if b.Failures() != 4 {
		t.Errorf("%d failures, want 4", b.Failures())
	}
	wantUniform(t, &b, 8*time.Millisecond)
	b.Ended(2 * time.Second) // that settles now
	if b.Failures() != 0 {
		t.Errorf("%d failures after a life that settled", b.Failures())
	}
}
