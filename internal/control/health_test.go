package control

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/pool"
)

func TestHealthyWhileEveryLoopTurns(t *testing.T) {
	o := options(answering(twitch()))
	o.Delivery = delivering(Delivery{Connected: false})
	w := get(Handler(o), "/healthz")
	wantCode(t, w, http.StatusOK)
	if w.Body.String() != "ok\n" {
		t.Errorf("body: %q", w.Body)
	}
}

func TestALoopThatIsSlowButTurnsIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(Feed{Name: "slow", Status: func(ctx context.Context, _ bool) (pool.Status, error) {
			time.Sleep(patience - time.Millisecond)
			return pool.Status{}, ctx.Err()
		}})
		wantCode(t, get(Handler(o), "/healthz"), http.StatusOK)
	})
}

func TestAnUnhealthyAnswerNamesTheLoopsThatStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(answering(twitch()), stuck("b"))
		w := get(Handler(o), "/healthz")
		wantCode(t, w, http.StatusServiceUnavailable)
		if body := w.Body.String(); !strings.HasPrefix(body, "ask the loop of feed b:") || strings.Count(body, "\n") != 1 {
			t.Errorf("body: %s", body)
		}

		o = options(answering(twitch()))
		o.Delivery = stuckDelivery
		w = get(Handler(o), "/healthz")
		wantCode(t, w, http.StatusServiceUnavailable)
		if body := w.Body.String(); !strings.HasPrefix(body, "ask the loop of delivery:") || strings.Count(body, "\n") != 1 {
			t.Errorf("body: %s", body)
		}
	})
}

func TestHealthKeepsTheCausesOfItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(stuck("b"))
		if err := o.Health(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Health says %v", err)
		}
	})
}

func TestReadinessIsConfirmedOverPlaceable(t *testing.T) {
	for _, c := range []struct {
		name   string
		topics pool.TopicCounts
		needed float64
		share  float64
		ready  bool
	}{
		{"nothing wanted", pool.TopicCounts{}, 0.9, 1, true},
		{"all confirmed", pool.TopicCounts{Wanted: 50, Confirmed: 50}, 1, 1, true},
		{"just enough", pool.TopicCounts{Wanted: 500, Confirmed: 450, Asked: 50}, 0.9, 0.9, true},
		{"one too few", pool.TopicCounts{Wanted: 500, Confirmed: 449, Asked: 51}, 0.9, 0.898, false},
		{"unplaced ones do not count", pool.TopicCounts{Wanted: 1850, Unplaced: 1350, Confirmed: 500}, 1, 1, true},
		{"refused ones do not count", pool.TopicCounts{Wanted: 10, Refused: 9, Confirmed: 1}, 1, 1, true},
		{"connected, and asked for nothing yet", pool.TopicCounts{Wanted: 50, Assigned: 50}, 0.9, 0, false},
		{"asked, and not answered", pool.TopicCounts{Wanted: 50, Asked: 50}, 0.9, 0, false},
		{"all refused", pool.TopicCounts{Wanted: 50, Refused: 50}, 0.9, 0, false},
		{"none has a place", pool.TopicCounts{Wanted: 50, Unplaced: 50}, 0.9, 0, false},
		{"nothing confirmed, nothing needed", pool.TopicCounts{Wanted: 50, Asked: 50}, 0, 0, false},
		{"a little confirmed, nothing needed", pool.TopicCounts{Wanted: 50, Asked: 40, Confirmed: 10}, 0, 0.2, true},
	} {
		o := options(answering(pool.Status{Feed: "f", Topics: c.topics}))
		o.Ready = func() float64 { return c.needed }
		w := get(Handler(o), "/readyz")
		code := http.StatusServiceUnavailable
		if c.ready {
			code = http.StatusOK
		}
		if w.Code != code {
			t.Errorf("%s: status code %d, want %d", c.name, w.Code, code)
		}
		r := decode[Readiness](t, w)
		if r.Ready != c.ready || r.Share != c.share || r.Needed != c.needed || len(r.Feeds) != 1 {
			t.Errorf("%s: the body says %+v", c.name, r)
			continue
		}
		want := FeedReadiness{Feed: "f", Ready: c.ready, Share: c.share,
			Confirmed: c.topics.Confirmed, Placeable: c.topics.Placeable(), Wanted: c.topics.Wanted}
		if r.Feeds[0] != want {
			t.Errorf("%s: the feed came out as %+v, want %+v", c.name, r.Feeds[0], want)
		}
	}
}

func TestReadyOnlyWhenEveryFeedIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := answering(pool.Status{Feed: "full", Topics: pool.TopicCounts{Wanted: 50, Confirmed: 50}})
		half := answering(pool.Status{Feed: "half", Topics: pool.TopicCounts{Wanted: 50, Confirmed: 25, Asked: 25}})
		wantCode(t, get(Handler(options(full)), "/readyz"), http.StatusOK)

		w := get(Handler(options(full, half)), "/readyz")
		wantCode(t, w, http.StatusServiceUnavailable)
		if r := decode[Readiness](t, w); r.Share != 0.5 || !r.Feeds[0].Ready || r.Feeds[1].Ready {
			t.Errorf("the body says %+v", r)
		}

		w = get(Handler(options(stuck("silent"), full)), "/readyz")
		wantCode(t, w, http.StatusServiceUnavailable)
		if r := decode[Readiness](t, w); r.Share != 0 || r.Feeds[0].Error == "" || r.Feeds[1].Error != "" {
			t.Errorf("the body says %+v", r)
		}
	})
}
