package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/control/local"
	"feedmux/internal/sim/kite"
	"feedmux/internal/sim/twitch"
)

func TestAFileOfTopicsIsFollowedWithCare(t *testing.T) {
	t.Parallel()
	up, address := upstream(t, twitch.PubSubOptions{})
	dir := t.TempDir()
	list := filepath.Join(dir, "topics.txt")
	write := func(topics string) { // as one that was written a while ago
		t.Helper()
		put(t, list+".1", topics)
		at := time.Now().Add(-time.Minute)
		if err := errors.Join(os.Chtimes(list+".1", at, at), os.Rename(list+".1", list)); err != nil {
			t.Fatal(err)
		}
	}
	write("raid.1\nraid.2\nraid.3\nraid.4\n")
	feed := twitchFeed("a", address, "", "topics_file = \"topics.txt\"\n")
	o := runOperated(t, dir, t.TempDir(), feed)
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")
	held := func(text string) {
		t.Helper()
		eventually(t, text, func() bool { _, body := get(t, o.Daemon, "/api/status"); return strings.Contains(body, text) })
		listens(t, up, "raid.1 raid.2 raid.3 raid.4")
	}
	write("raid.1\n")
	held("would lose 3 of its 4 topics")
	write("raid.1\nraid.2\nraid.3\nrai d\n")
	held("a topic is printable ASCII")
	os.Remove(list)
	held("no such file")
	write("raid.1\n")
	held("would lose 3 of its 4 topics")
	r := o.reloadAsItIs()
	if len(r.Problems) > 0 || len(r.Held) != 1 || r.Held[0].Old != 4 || r.Held[0].New != 1 || !slices.ContainsFunc(r.Applied, func(c local.ChangeLine) bool { return c.Key == "feed.a.topics" }) {
		t.Errorf("%+v", r)
	}
	listens(t, up, "raid.1")
	if _, body := get(t, o.Daemon, "/api/status"); strings.Contains(body, "would lose") {
		t.Error("what is taken is still said to be held")
	}
	write("raid.1\nraid.5\n")
	listens(t, up, "raid.1 raid.5")
	if r := o.reloadAsItIs(); len(r.Applied)+len(r.Held) > 0 {
		t.Errorf("what was taken already is said to be taken now: %+v", r)
	}
}

// isNo checks that an answer is a no of a kind, in these words.
func isNo(t *testing.T, err error, kind local.Kind, words ...string) {
	t.Helper()
	var no *local.Error
	if !errors.As(err, &no) || no.Kind != kind {
		t.Errorf("%v", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestTopicsOfTheRunTime(t *testing.T) {
	up, address := upstream(t, twitch.PubSubOptions{BadTopics: []string{"raid.8"}})
	dir, stateDir := t.TempDir(), t.TempDir()
	feed := func(topics string, capacity int) string {
		return twitchFeed("a", address, topics, fmt.Sprintf("overflow = \"reject\"\nlimits = { connections = 1, topics_per_connection = %d }\n", capacity))
	}
	o := runOperated(t, dir, stateDir, feed(`"raid.1"`, 4))
	listens(t, up, "raid.1")

	r, err := o.topics(local.Add, "a", named("raid.2", "raid.3")...)
	if err != nil || strings.Join(r.Added, " ") != "raid.2 raid.3" || r.Wanted != 3 || r.Unplaced != 0 || r.Capacity != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	listens(t, up, "raid.1 raid.2 raid.3")
	if r, err = o.topics(local.Remove, "a", named("raid.2", "raid.7")...); err != nil || len(r.Removed) != 1 || len(r.Unchanged) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = o.topics(local.Set, "a", named("raid.4", "raid.3", "raid.2")...); err != nil || len(r.Added) != 2 || len(r.Unchanged) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")

	_, err = o.topics(local.Add, "a", named("raid.5")...)
	isNo(t, err, local.Conflict, "5 topics are more than", "raid.5")
	_, err = o.topics(local.Remove, "a", named("raid.1")...)
	isNo(t, err, local.Conflict, "raid.1 is listed in "+o.path+":", "take it out there")
	_, err = o.topics(local.Add, "a", named("rai d")...)
	isNo(t, err, local.Conflict, "rai d")
	_, err = o.topics(local.Add, "none", named("raid.5")...)
	isNo(t, err, local.NotFound, "none")
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")

	// There is no room for the last one any more, and then there is again: over a restart too.
	o.reload(feed(`"raid.1"`, 3))
	listens(t, up, "raid.1 raid.3 raid.4")
	if !o.logged("run-time topics are left out") || !o.logged("first=raid.2") {
		t.Errorf("what was left out is not said:\n%s", o.log.String())
	}
	if r, err = o.topics(local.Add, "a", local.Topic{Name: "raid.3", Priority: 2}); err != nil || len(r.Changed) != 1 {
		t.Errorf("with one that is left out: %+v, %v", r, err)
	}
	_, err = o.topics(local.Add, "a", named("raid.2")...)
	isNo(t, err, local.Conflict, "raid.2")
	o.end()
	o = runOperated(t, dir, stateDir, feed(`"raid.1"`, 3))
	listens(t, up, "raid.1 raid.3 raid.4")
	o.reload(feed(`"raid.1"`, 4))
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")

	// One that was refused is asked for again when it is added again, and by a reload.
	before, asks := 0, 0 // that were refused
	refused := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("refusal %d", n), func() bool {
			asks = 0
			for _, c := range up.Conns() {
				for _, a := range c.Asks {
					if slices.Contains(a.Topics, "raid.8") && a.Error != "" {
						asks++
					}
				}
			}
			s := o.status("a")
			return asks > before && s.Topics.Refused == 1 && s.Slots[0].Topics == s.Topics.Wanted-1
		})
		before = asks
		// Its slot has heard that it is refused once it does what is wanted after that.
		mark := fmt.Sprint("raid.1", n)
		if _, err := o.topics(local.Remove, "a", named(mark)...); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of "+mark, func() bool { return !strings.Contains(strings.Join(listening(up), " "), mark) })
	}
	o.reload(feed(`"raid.1"`, 6))
	if _, err = o.topics(local.Set, "a", named("raid.8", "raid.11", "raid.12", "raid.13")...); err != nil {
		t.Fatal(err)
	}
	refused(1)
	if _, err = o.topics(local.Add, "a", named("raid.8")...); err != nil {
		t.Fatal(err)
	}
	refused(2)
	o.reloadAsItIs()
	refused(3)
	up.Change(func(o *twitch.PubSubOptions) { o.BadTopics = nil })
	o.reloadAsItIs()
	listens(t, up, "raid.1 raid.8")
	if entries, err := o.Topics(t.Context(), "a"); err != nil || len(entries) != 2 || entries[1].From != local.FromRunTime {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestAListedTopicsOptionsCannotBeChangedAtRunTime(t *testing.T) {
	t.Parallel()
	_, address := exchange(t, kite.Options{Token: "good"})
	dir := t.TempDir()
	put(t, filepath.Join(dir, "token"), "good")
	o := runOperated(t, dir, t.TempDir(), fmt.Sprintf("[[feed]]\nname = \"k\"\nprotocol = \"kite\"\nurl = \"ws://%s\"\nauth.file = \"token\"\n"+
		"options = { api_key = \"key\" }\ntopics = [{ topic = \"408065\", mode = \"ltp\" }]\n", address))
	_, err := o.topics(local.Add, "k", local.Topic{Name: "408065", Options: map[string]any{"mode": "full"}})
	isNo(t, err, local.Conflict, `"408065" has other options at`, o.path)
	if _, err = o.topics(local.Add, "k", local.Topic{Name: "5633", Options: map[string]any{"mode": "full"}}); err != nil {
		t.Error(err)
	}
	o.confirms("k", 2, 2)
}
