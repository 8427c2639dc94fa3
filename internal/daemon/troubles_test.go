package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"feedmux/internal/additions"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/state"
)

// twitchFeed is a configuration with one feed of nobody's; more are lines of its table.
func twitchFeed(more string) string {
	return "[nats.embedded]\nlisten = \"\"\n[http]\nlisten = \"\"\n[[feed]]\nname = \"a\"\nprotocol = \"twitch-pubsub\"\nurl = \"ws://127.0.0.1:1\"\ntopics = [\"raid.1\"]\n" + more
}

// noted waits until the notes say so, or do not any more.
func (r *running) noted(text string, want bool) {
	r.t.Helper()
	var notes string
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if notes = strings.Join(r.notes(), "\n"); strings.Contains(notes, text) == want {
			return
		}
	}
	r.t.Errorf("that the notes say %q should be %v:\n%s", text, want, notes)
}

// Else the next restart, or the upstream, is the first to tell.
func TestASecretThatCannotBeReadIsToldUntilItCan(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write := func() {
		t.Helper()
		if err := os.WriteFile(token, []byte("opensesame"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	r := runDaemon(t, dir, twitchFeed("auth.file = \"token\"\n"))
	r.noted("the secret cannot be had", false)
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	const gone = "feed a: the secret cannot be had: reading a secret: open "
	r.noted(gone, true)
	write()
	r.noted(gone, false)

	got := r.reloads(twitchFeed("auth.file = \"tokn\"\n"))
	if len(got.Warnings) != 1 || !strings.HasPrefix(got.Warnings[0], gone) || !strings.Contains(got.Warnings[0], "tokn: no such file") ||
		!strings.HasSuffix(got.Warnings[0], "; going on with the last one") {
		t.Errorf("%q", got.Warnings)
	}
	r.noted("tokn: no such file", true)
	if got := r.reloads(twitchFeed("auth.file = \"token\"\n")); len(got.Warnings) > 0 {
		t.Errorf("%q", got.Warnings)
	}
	r.noted(gone, false)
}

func TestABadConfigurationIsToldWithTheCommandThatExplainsIt(t *testing.T) {
	r := runDaemon(t, t.TempDir(), twitchFeed(""))
	r.loads(twitchFeed("colour = \"red\"\n"))
	if result, err := r.Reload(t.Context(), "the test"); err != nil || len(result.Problems) != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	r.noted("feedmux check --config "+r.Path+" says why", true)
	if text := r.logged(); !strings.Contains(text, `level=ERROR msg="the reload changed nothing: the configuration is bad" by="the test" config=`+r.Path) {
		t.Errorf("the log: %s", text)
	}
	r.reloads(twitchFeed("dwell = \"2m\"\n"))
	r.noted("feedmux check", false)
	if text := r.logged(); !strings.Contains(text, `msg="a change counts now" key=feed.a.dwell old=1m new=2m`) {
		t.Errorf("the log: %s", text)
	}
}

// A change may look at thousands of topics; the end does not wait for that.
func TestTheEndOfTheDaemonEndsAChangeThatIsUnderWay(t *testing.T) {
	r := runDaemon(t, t.TempDir(), twitchFeed(""))
	ctx, leave, err := r.enter(t.Context(), "uid 1000 (anna)")
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := r.enter(soon, "another"); err == nil || !strings.Contains(err.Error(), "uid 1000 (anna) has been changing something") {
		t.Error(err)
	}
	ended := make(chan struct{})
	go func() { r.end(); close(ended) }()
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
		t.Error("the change goes on")
		leave()
		return
	}
	if no := givenUp(ctx); !strings.Contains(no.Error(), "nothing was changed") || !strings.Contains(no.Error(), errEnds.Error()) {
		t.Error(no)
	}
	leave()
	<-ended
	if _, _, err := r.enter(t.Context(), "somebody late"); err == nil || !strings.Contains(err.Error(), errEnds.Error()) {
		t.Error(err)
	}
}

func TestWhatCountsAtTheStartHasTheTopicsOfTheRunTime(t *testing.T) {
	dir := t.TempDir()
	s, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := additions.List{{Name: "raid.2"}, {Name: "raid.3"}, {Name: "raid 4"}}
	if err := errors.Join(list.Save("a", shelf.Value{Dir: s, Kind: "topics", Name: "a"}), s.Close()); err != nil {
		t.Fatal(err)
	}
	r := runDaemonIn(t, t.TempDir(), dir, twitchFeed(""))
	r.end() // nobody changes what counts any more
	if f := r.Counting().Feeds[0]; len(f.Topics) != 3 {
		t.Errorf("%+v", f.Topics)
	}
	if text := r.logged(); !strings.Contains(text, `topics=1 first="raid 4" error="\"raid 4\": a topic is printable ASCII`) {
		t.Errorf("the log: %s", text)
	}
}

func TestWhoWaitsForAnAnswerAsksNowAndThen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	asked := 0
	askUntil(ctx, func() bool { asked++; return false })
	if asked == 0 || asked > 20 {
		t.Errorf("asked %d times in 100 ms", asked)
	}
	askUntil(ctx, func() bool { asked = -1; return true })
	if asked != -1 {
		t.Error("what was done is not seen")
	}
}
