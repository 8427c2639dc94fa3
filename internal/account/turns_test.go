package account

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/limiter"
	"feedmux/shard"
)

func TestTheOneWithTheMostTopicsDialsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("a", 10, limiter.Window{N: 1, Per: 2 * time.Second}, 1)
		var mu sync.Mutex
		var order []shard.Slot
		var all sync.WaitGroup
		want := func(slot shard.Slot, topics int) {
			all.Go(func() {
				dialled, err := a.Turn(t.Context(), slot, topics)
				if err != nil {
					t.Error(err)
					return
				}
				dialled()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, slot)
			})
		}
		want(9, 1) // goes at once: nobody else is here
		synctest.Wait()
		want(3, 50)
		want(0, 10)
		want(2, 50)
		want(1, 50)
		synctest.Wait()
		time.Sleep(time.Second)
		want(7, 50) // came later than its equals
		want(8, 60) // better than all who wait
		all.Wait()
		if wanted := []shard.Slot{9, 8, 1, 2, 3, 7, 0}; !slices.Equal(order, wanted) {
			t.Errorf("dialled in the order %v, want %v", order, wanted)
		}
		if open := a.Connections(); open != 7 {
			t.Errorf("%d places are taken", open)
		}
	})
}

func TestWhoGivesUpLeavesTheLeadToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("a", 2, limiter.Window{N: 1, Per: time.Minute}, 1)
		first, err := a.Turn(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		first()
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := a.Turn(ctx, 1, 100)
			gaveUp <- err
		}()
		synctest.Wait()
		begin := time.Now()
		got := make(chan time.Duration)
		go func() {
			dialled, err := a.Turn(t.Context(), 2, 1)
			if err != nil {
				t.Error(err)
			} else {
				dialled()
			}
			got <- time.Since(begin)
		}()
		time.Sleep(time.Second)
		cancel()
		if err := <-gaveUp; err != context.Canceled {
			t.Errorf("giving up says %v", err)
		}
		if took := <-got; took != time.Minute {
			t.Errorf("the next had its turn after %v, want a minute", took)
		}
	})
}

func TestNobodyDialsWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("a", 1, limiter.Window{N: 10, Per: time.Second}, 10)
		dialled, err := a.Turn(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		dialled()
		began := make(chan time.Time, 2)
		for slot := range shard.Slot(2) {
			go func() {
				dialled, err := a.Turn(t.Context(), slot, 1)
				if err != nil {
					t.Error(err)
					return
				}
				dialled()
				began <- time.Now()
			}()
		}
		begin := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(began) > 0 {
			t.Fatal("two sockets for one place")
		}
		a.LeaveLater() // the peer did not say that it saw the end
		if at := <-began; at.Sub(begin) != time.Minute+hold {
			t.Errorf("the place was free after %v, want %v", at.Sub(begin)-time.Minute, hold)
		}
		a.Leave()
		<-began
	})
}

func TestAPauseThatTheUpstreamAskedForHoldsEveryDialBack(t *testing.T) {
	for _, tt := range []struct{ asked, want time.Duration }{
		{time.Minute, time.Minute},
		{time.Millisecond, leastPause},
		{24 * time.Hour, mostPause},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := New("a", 10, limiter.Window{N: 10, Per: time.Second}, 10)
			begin := time.Now()
			a.Pause(tt.asked)
			for slot := range shard.Slot(3) {
				dialled, err := a.Turn(t.Context(), slot, 1)
				if err != nil {
					t.Fatal(err)
				}
				dialled()
			}
			if took := time.Since(begin); took != tt.want {
				t.Errorf("asked for %v: dialled after %v, want %v", tt.asked, took, tt.want)
			}
		})
	}
}
