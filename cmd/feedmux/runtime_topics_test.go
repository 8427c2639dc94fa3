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

// A reload comes with an edit, and an export may be under way: what nobody was told of is nothing that anybody wants.
func TestAReloadTakesNoFileOfTopicsThatNobodyWasToldOf(t *testing.T) {
	t.Parallel()
	up, address := upstream(t, twitch.PubSubOptions{})
	dir := t.TempDir()
	list := filepath.Join(dir, "topics.txt")
	const whole = "raid.1 raid.2 raid.3 raid.4"
	put(t, list, strings.ReplaceAll(whole, " ", "\n"))
	feed := twitchFeed("a", address, `"raid.9"`, "topics_file = \"topics.txt\"\n")
	o := runOperated(t, dir, t.TempDir(), feed)
	listens(t, up, whole+" raid.9")
	notTaken := func(what string, r local.ReloadResult, text string) {
		t.Helper()
		if len(r.Problems)+len(r.Held)+len(r.Applied) > 0 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], text) {
			t.Errorf("%s: %+v", what, r)
		}
		if _, body := get(t, o.Daemon, "/api/status"); !strings.Contains(body, text) {
			t.Errorf("%s: the status does not say %q", what, text)
		}
		if s := o.status("a"); s.Topics.Wanted != 5 {
			t.Errorf("%s: %d topics are wanted", what, s.Topics.Wanted)
		}
	}
	put(t, list, "") // as ": > topics.txt" does
	for range 2 {    // it may be half of a file still
		notTaken("empty, just now", o.reloadAsItIs(), "would lose 4 of its 4 topics")
	}
	put(t, list, "raid.1\nraid.3\nraid.4\n")
	notTaken("a topic less, just now", o.reloadAsItIs(), "counts once it has been at rest")
	eventually(t, "what is at rest", func() bool { return o.status("a").Topics.Wanted == 4 })

	put(t, list+".1", "raid.1\n")
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(list+".1", old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(list+".1", list); err != nil {
		t.Fatal(err)
	}
	r := o.reload(strings.Replace(feed, "raid.9", "raid.8", 1)) // the rest counts
	if len(r.Warnings) != 1 || len(r.Applied) != 1 || o.status("a").Topics.Wanted != 4 {
		t.Errorf("%+v", r)
	}
	if !o.logged(`level=ERROR msg="the topics file is not taken`) {
		t.Error("the log has no error")
	}
	if r := o.reloadAsItIs(); len(r.Warnings) > 0 || len(r.Held) != 1 || r.Held[0].New != 1 {
		t.Errorf("the second time: %+v", r)
	}
	listens(t, up, "raid.1 raid.8")
}

func TestARestartTakesNoFileOfTopicsThatIsHeld(t *testing.T) {
	t.Parallel()
	up, address := upstream(t, twitch.PubSubOptions{})
	dir, stateDir := t.TempDir(), t.TempDir()
	list := filepath.Join(dir, "topics.txt")
	put(t, list, "raid.1\nraid.2\nraid.3\nraid.4\n")
	feed := twitchFeed("a", address, "", "topics_file = \"topics.txt\"\n")
	o := runOperated(t, dir, stateDir, feed)
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")
	o.end()

	put(t, list, "raid.1\n")
	o = runOperated(t, dir, stateDir, feed)
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")
	eventually(t, "a note", func() bool {
		_, body := get(t, o.Daemon, "/api/status")
		return strings.Contains(body, "would lose 3 of its 4 topics")
	})
	if entries, err := o.Topics(t.Context(), "a"); err != nil || entries[3].Where != list+":4" {
		t.Errorf("%+v, %v", entries, err)
	}
	o.reloadAsItIs()
	listens(t, up, "raid.1")
	o.end()
	runOperated(t, dir, stateDir, feed) // that it was taken is known too
	listens(t, up, "raid.1")
}

func TestARemovedTopicThatAFileListsIsSaidToStay(t *testing.T) {
	t.Parallel()
	_, address := upstream(t, twitch.PubSubOptions{})
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("a", address, `"raid.1"`, ""))
	if r, err := o.topics(local.Add, "a", named("raid.1", "raid.2")...); err != nil || r.Wanted != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err := o.topics(local.Remove, "a", named("raid.1", "raid.2")...)
	if err != nil || len(r.Removed) != 2 || r.Wanted != 1 || len(r.Stay) != 1 || r.Stay[0].Topic != "raid.1" || r.Stay[0].Where != o.path+":9" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAChangeOfTopicsThatChangesNothingIsNoNews(t *testing.T) {
	t.Parallel()
	_, address := upstream(t, twitch.PubSubOptions{})
	o := runOperated(t, t.TempDir(), t.TempDir(), twitchFeed("a", address, `"raid.1"`, ""))
	if _, err := o.topics(local.Set, "a"); err != nil {
		t.Fatal(err)
	}
	if o.logged("run-time topics changed") {
		t.Error("it is in the log")
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
	if r, err = o.topics(local.Remove, "a", named("raid.2", "raid.7")...); err != nil || len(r.Removed) != 1 || len(r.Unchanged) != 1 ||
		!slices.Equal(r.NotWanted, []string{"raid.7"}) || len(r.Stay) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = o.topics(local.Set, "a", named("raid.4", "raid.3", "raid.2")...); err != nil || len(r.Added) != 2 || len(r.Unchanged) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	listens(t, up, "raid.1 raid.2 raid.3 raid.4")

	_, err = o.topics(local.Add, "a", named("raid.5")...)
	isNo(t, err, local.Conflict, "room for 4 topics", "raid.5")
	_, err = o.topics(local.Remove, "a", named("raid.1")...)
	isNo(t, err, local.Conflict, "raid.1 is listed in "+o.path+":", "take it out there")
	_, err = o.topics(local.Add, "a", named("raid.6", "rai d")...)
	isNo(t, err, local.BadRequest, `topics[1]: "rai d": a topic is printable ASCII`)
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
