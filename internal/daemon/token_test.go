package daemon

import (
	"fmt"
	"testing"
	"time"
)

// tokens asks until the feed's token is known.
func tokens(r *running, feed string) (dies, due time.Time) {
	r.t.Helper()
	o := r.shown()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		report, err := o.Report(r.t.Context(), feed, false)
		if err != nil {
			r.t.Fatal(err)
		}
		if dies, known := report.TokensDie[feed]; known {
			return dies, report.TokensDue[feed]
		}
	}
	r.t.Fatal("nobody knows when the token dies")
	return
}

func TestATokenOfACommandIsDueOnceItsRenewalIsLateAndAReloadMayChangeThat(t *testing.T) {
	dies := time.Now().Add(20 * time.Minute).Truncate(time.Second)
	text := func(more string) string {
		return fmt.Sprintf(`
[nats.embedded]
listen = ""
[http]
listen = ""
[[feed]]
name = "a"
protocol = "twitch-pubsub"
url = "ws://127.0.0.1:1"
topics = ["raid.1"]
[feed.auth]
command = ["/bin/sh", "-c", '''echo '{"token": "t", "expires_at": %d}' ''']
%s
`, dies.Unix(), more)
	}
	r := runDaemon(t, t.TempDir(), text(""))
	at, due := tokens(r, "a")
	if !at.Equal(dies) || !due.Equal(dies.Add(-4*time.Minute)) { // the usual five, and one to do it
		t.Errorf("it dies at %v and is due at %v; want %v and four minutes before", at, due, dies)
	}
	r.reloads(text(`refresh_before = "10m"`))
	if _, due := tokens(r, "a"); !due.Equal(dies.Add(-9 * time.Minute)) {
		t.Errorf("renewed ten minutes before, it is due at %v; want nine minutes before %v", due, dies)
	}
}

func TestATokenThatDiesAtATimeOfDayIsDueWhenSomebodyIsToBeTold(t *testing.T) {
	text := func(more string) string {
		return `
[nats.embedded]
listen = ""
[http]
listen = ""
[[feed]]
name = "ticks"
protocol = "kite"
url = "ws://127.0.0.1:1"
topics = ["408065"]
[feed.auth]
env = "NO_SUCH_TOKEN"
` + more + `
[feed.options]
api_key = "key"
token_dies_at = "06:00 Asia/Kolkata"
`
	}
	r := runDaemon(t, t.TempDir(), text(""))
	if dies, due := tokens(r, "ticks"); dies.Sub(due) != 30*time.Minute {
		t.Errorf("it dies at %v and is due at %v; want half an hour between", dies, due)
	}
	r.reloads(text(`refresh_before = "2h"`))
	if dies, due := tokens(r, "ticks"); dies.Sub(due) != 2*time.Hour {
		t.Errorf("it dies at %v and is due at %v; want two hours between", dies, due)
	}
}
