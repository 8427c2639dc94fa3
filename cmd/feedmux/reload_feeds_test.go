package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/sim/twitch"
)

func TestFeedsComeAndGoWithinTheirAccountsBounds(t *testing.T) {
	t.Parallel()
	up, address := upstream(t, twitch.PubSubOptions{})
	_, elsewhere := upstream(t, twitch.PubSubOptions{})
	a := strings.Replace(twitchFeed("a", address, manyTopics(100), "limits.connections = 2\n"), "100/1s", "4/1s", 1)
	b := twitchFeed("b", elsewhere, `"raid.9"`, "")
	o := runOperated(t, t.TempDir(), t.TempDir(), a+b)
	sub := subscribe(t, "nats://"+o.NATSAddr().String())
	for range 3 {
		o.confirms("a", 100, 100)
		if r := o.reload(b); len(r.Applied) != 1 || r.Applied[0].Key != "feed.a" || len(r.Restart) > 0 {
			t.Errorf("it goes: %+v", r)
		}
		if n := up.Open(); n != 0 {
			t.Errorf("%d connections of a feed that is gone", n)
		}
		if code, body := get(t, o.Daemon, "/healthz"); code != http.StatusOK {
			t.Errorf("health: %d %s", code, body)
		}
		if r := o.reload(b + a); len(r.Applied) != 1 || r.Applied[0].Key != "feed.a" || len(r.Restart) > 0 {
			t.Errorf("it comes: %+v", r)
		}
	}
	o.confirms("a", 100, 100)
	o.confirms("b", 1, 1)
	keptTheBudget(t, up, 4, time.Second, 2)
	if gaps := sub.closed(); len(gaps) > 0 { // nobody wanted it in between
		t.Errorf("%d gaps; the first: %+v", len(gaps), gaps[0])
	}
	list, err := o.Status(t.Context())
	if err != nil || list[0].Feed != "b" || list[1].Feed != "a" {
		t.Errorf("the order is not that of the configuration: %v", err)
	}
	// An older run's time is no gap either.
	dir := filepath.Dir(o.path)
	o.end()
	again := runOperated(t, dir, o.Dir, b)
	again.reload(b + a)
	sub = subscribe(t, "nats://"+again.NATSAddr().String())
	again.confirms("a", 100, 100)
	for _, g := range sub.closed() {
		if g.Feed == "a" {
			t.Fatalf("%+v", g)
		}
	}
	c := strings.Replace(twitchFeed("c", elsewhere+"/c", `"raid.7"`, "subject = \"other.{feed}.{topic}\"\n"), "ws://127.0.0.1", "ws://localhost", 1)
	if r := again.reload(b + a + c); len(r.Restart) != 1 ||
		r.Restart[0].Key != "feed.c" || r.Restart[0].Old != "does not run" || !strings.Contains(r.Restart[0].New, "other.>") {
		t.Errorf("a feed that nobody could read: %+v", r)
	}
	if r := again.reload(b + c); len(r.Restart) != 1 || len(r.Applied) != 1 || r.Applied[0].Key != "feed.a" {
		t.Errorf("another one goes while it waits: %+v", r)
	}
}

// Whoever reads a gap's notices must hear of its end, though nobody waits for it any more.
func TestAFeedThatGoesLeavesNoGapOpen(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	_, elsewhere := upstream(t, twitch.PubSubOptions{})
	a, b := twitchFeed("a", address, `"raid.1", "raid.2"`, ""), twitchFeed("b", elsewhere, `"raid.9"`, "")
	o := runOperated(t, t.TempDir(), t.TempDir(), a+b)
	sub := subscribe(t, "nats://"+o.NATSAddr().String())
	o.confirms("a", 2, 2)
	up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 1 })
	up.Reset(up.Conns()[0].ID)
	eventually(t, "a dial that was refused, and darkness", func() bool {
		dials := 0
		for _, n := range o.status("a").Counters.Dials {
			dials += int(n)
		}
		return dials > 1 && o.status("a").Dark == 2
	})
	o.reload(b)
	eventually(t, "the end of both gaps", func() bool { return slices.Equal(topicsOf(sub.closed()), []string{"raid.1", "raid.2"}) })
	up.Change(func(o *twitch.PubSubOptions) { o.Refuse = 0 })
	o.reload(a + b)
	o.confirms("a", 2, 2)
	if n := len(sub.closed()); n != 2 {
		t.Errorf("%d gaps", n)
	}
}

func TestAFeedWhoseTopicsFileChangedCanGo(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	_, elsewhere := upstream(t, twitch.PubSubOptions{})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "one.txt"), "raid.1\n")
	put(t, filepath.Join(dir, "two.txt"), "raid.2\n")
	b := twitchFeed("b", elsewhere, `"raid.9"`, "")
	feed := func(file string) string {
		return twitchFeed("a", address, "", fmt.Sprintf("topics_file = %q\n", file)) + b
	}
	o := runOperated(t, dir, t.TempDir(), feed("one.txt"))
	listens(t, up, "raid.1")
	o.reload(feed("two.txt"))
	listens(t, up, "raid.2")
	o.reload(b)
	listens(t, up)
}

// A feed that goes by another name, with other figures of its account or another subject, cannot begin before a restart.
// Without it nothing would run.
func TestAReloadTakesNoFeedAwayForOneThatCannotBegin(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{})
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("tw", address, `"raid.1"`, ""))
	listens(t, up, "raid.1")
	for more, words := range map[string]string{
		"limits.connections = 5\n":             "is in use with other figures",
		"subject = \"other.{feed}.{topic}\"\n": "nobody may read other.>",
	} {
		o.configure(twitchFeed("tz", address, `"raid.1"`, more))
		r := o.reloadAsItIs()
		if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], words) || !strings.Contains(r.Problems[0], "feed tw would be gone") ||
			len(r.Applied)+len(r.Restart) > 0 {
			t.Errorf("%s: %+v", more, r)
		}
		if _, body := get(t, o.Daemon, "/api/status"); !strings.Contains(body, "the last reload changed nothing") || strings.Contains(body, "feedmux check") {
			t.Errorf("the note: %.900s", body)
		}
		o.confirms("tw", 1, 1)
	}
	if n := len(up.Conns()); n != 1 {
		t.Errorf("%d connections", n)
	}
	if r := o.reload(twitchFeed("tz", address, `"raid.1"`, "")); len(r.Applied) != 2 || len(r.Restart) > 0 {
		t.Errorf("with what may change: %+v", r)
	}
	o.confirms("tz", 1, 1)
}
