package answer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
)

func TestTheLogSaysWhatAReloadDid(t *testing.T) {
	r := Of([]config.Change{
		{Key: "feed.a.topics", Reach: config.Now, Old: "1 topic", New: "2 topics"}, {Key: "feed.a.ping.interval", Reach: config.NextLife, Old: "2s", New: "3s"},
		{Key: "feed.a.url", Reach: config.Restart, Old: "ws://a", New: "ws://b"},
	})
	r.Restart = []local.ChangeLine{{Key: "feed.a.url", Old: "ws://a", New: "ws://b"}}
	r.Held = []local.HeldFile{{Feed: "a", File: "topics.txt", Old: 4, New: 1}}
	for i := range 1000 {
		r.Applied = append(r.Applied, local.ChangeLine{Key: fmt.Sprint("feed.b", i)})
	}
	var text bytes.Buffer
	Log(slog.New(slog.NewTextHandler(&text, nil)), "SIGHUP", r)
	for _, want := range []string{
		"level=INFO msg=reloaded by=SIGHUP now=1001 next_life=1 restart=1",
		`level=INFO msg="a change counts now" key=feed.a.topics old="1 topic" new="2 topics"`, "more_keys=951",
		`level=INFO msg="a change counts for connections that are dialled from now on" key=feed.a.ping.interval old=2s new=3s`,
		`level=WARN msg="a change waits for a restart" key=feed.a.url old=ws://a new=ws://b`,
		`msg="a topics file that was held is taken" feed=a file=topics.txt topics=1 before=4`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %s:\n%.2000s", want, text.String())
		}
	}
	if n := strings.Count(text.String(), "\n"); n > 60 {
		t.Errorf("%d lines", n)
	}
}

func TestTheNoteOfAReloadSaysWhereTheReasonIsToBeFound(t *testing.T) {
	bad := errors.New("config.toml:1: no")
	for want, got := range map[string]string{
		"": (&Last{}).Note("/etc/c.toml"),
		"the configuration was bad when it was last read, and nothing of it counts: feedmux check --config /etc/c.toml says why": (&Last{Err: bad}).Note("/etc/c.toml"),
		"the configuration was bad when it was last read, and nothing of it counts: feedmux check says why":                      (&Last{Err: bad}).Note(""),
		"the last reload changed nothing: " + ErrBeside.Error() + ": config.toml:1: no":                                          (&Last{Err: fmt.Errorf("%w: %w", ErrBeside, bad)}).Note("/etc/c.toml"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
