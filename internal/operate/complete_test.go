package operate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"feedmux/internal/control/local"
)

func TestShellsAreOfferedFeedsAndTopicsAndNoFiles(t *testing.T) {
	socket, nobody := running(t, &fake{}), t.TempDir()+"/none.sock"
	const noFiles = ":4"
	for _, c := range []struct {
		args, want string
	}{
		{"status ", "twitch"},
		{"status tw", "twitch"},
		{"status k", ""},
		{"status twitch ", "raid.1"}, // the other one would be obeyed by a terminal
		{"status twitch ra", "raid.1"},
		{"status twitch raid.1 ", ""},
		{"topics list ", "twitch"},
		{"topics list twitch ", "raid.1"},
		{"topics list twitch raid.1 ", ""},
		{"topics add ", "twitch"},
		{"topics remove twitch ", ""}, // raid.1 is the configuration's
		{"topics set ", "twitch"},
		{"renew ", "twitch"},
		{"renew twitch ", ""},
		{"tail ", "twitch"},
		{"tail twitch ", "raid.1"},
		{"tail twitch --format ", "text json"},
		{"tail kite ", ""},
		{"tail twitch --count ", ""},
	} {
		words := strings.Split("__complete "+c.args, " ")
		words = append(words[:2:2], append([]string{"--socket", socket}, words[2:]...)...)
		if words[1] == "topics" { // the flag is its command's
			words[2], words[3], words[4] = words[4], "--socket", socket
		}
		out, _, err := do(t, "", words...)
		lines := strings.Fields(out)
		if err != nil || len(lines) == 0 || lines[len(lines)-1] != noFiles || strings.Join(lines[:len(lines)-1], " ") != c.want {
			t.Errorf("%q: %q, %v; want %q", c.args, lines, err, c.want)
		}
	}
	if out, _, err := do(t, "", "__complete", "tail", "--socket", nobody, ""); err != nil || strings.Fields(out)[0] != noFiles {
		t.Errorf("without a daemon: %q, %v", out, err)
	}
}

// crowded has more topics than anybody reads.
type crowded struct{ fake }

func (*crowded) Topics(context.Context, string) (list []local.TopicEntry, err error) {
	for i := range 10 * mostOffered {
		list = append(list, local.TopicEntry{Topic: "raid." + strconv.Itoa(i), From: local.FromRunTime})
	}
	return list, nil
}

func TestShellsAreOfferedNoMoreThanSomebodyReads(t *testing.T) {
	socket := running(t, &crowded{})
	out, _, err := do(t, "", "__complete", "topics", "remove", "--socket", socket, "twitch", "")
	if got, want := strings.Count(out, "raid."), mostOffered; err != nil || got != want {
		t.Errorf("%d topics, %v; want %d", got, err, want)
	}
	out, _, _ = do(t, "", "__complete", "topics", "remove", "--socket", socket, "twitch", "raid.4999")
	if want := fmt.Sprintln("raid.4999"); !strings.HasPrefix(out, want) {
		t.Errorf("what begins so is past the bound: %q", out)
	}
}
