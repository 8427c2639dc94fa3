package local

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheSocketIsLookedForWhereDaemonsPutIt(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, c := range []struct {
		explicit string
		env      func(string) string
		want     []string
	}{
		{"/a/b.sock", env("FEEDMUX_SOCKET", "/c.sock"), []string{"/a/b.sock"}},
		{"", env("FEEDMUX_SOCKET", "/c.sock", "HOME", "/h"), []string{"/c.sock"}},
		{"", env("RUNTIME_DIRECTORY", "/run/x:/run/y", "STATE_DIRECTORY", "/s", "XDG_STATE_HOME", "/xdg", "HOME", "/h"), []string{
			"/run/x/control.sock", "/run/feedmux/control.sock", "/s/control.sock", "/xdg/feedmux/control.sock",
			"/h/.local/state/feedmux/control.sock",
		}},
		{"", env("RUNTIME_DIRECTORY", "/run/feedmux"), []string{"/run/feedmux/control.sock"}},
	} {
		if got := places(c.explicit, c.env); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestTheFirstPlaceThatAnswersIsTaken(t *testing.T) {
	s := serve(t, &fake{})
	dir := shortDir(t)
	c := NewClient("", func(name string) string {
		return map[string]string{"RUNTIME_DIRECTORY": dir, "STATE_DIRECTORY": filepath.Dir(s.path)}[name]
	})
	topics, err := c.Topics(t.Context(), "twitch")
	if err != nil || len(topics) != 2 || topics[0].Where != "config.toml:12" || topics[1].Options["mode"] != "full" {
		t.Errorf("%+v, %v", topics, err)
	}
	s.stop()
	_, err = c.Topics(t.Context(), "twitch")
	if err == nil {
		t.Fatal("nobody is there, and it answers")
	}
	contains(t, err.Error(), "feedmux does not run here", filepath.Join(dir, Name)+" or ", s.path, "--socket")
}

func TestWhatCanBeNoSocketIsSaidToBeNone(t *testing.T) {
	dir := shortDir(t)
	plain, long := filepath.Join(dir, "plain"), filepath.Join(dir, strings.Repeat("d", 200))
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		plain: plain + " is no socket",
		dir:   dir + " is no socket",
		long:  fmt.Sprintf("%s is %d bytes long, and a socket's path may have %d", long, len(long), maxPath),
	} {
		_, err := NewClient(path, os.Getenv).Topics(t.Context(), "twitch")
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	// Neither keeps the places after it from being looked at.
	s := serve(t, &fake{})
	if err := os.WriteFile(filepath.Join(dir, Name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"RUNTIME_DIRECTORY": dir, "STATE_DIRECTORY": long, "XDG_STATE_HOME": "/nowhere", "HOME": "/nowhere"}
	_, err := NewClient("", func(name string) string { return env[name] }).Topics(t.Context(), "twitch")
	if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, Name)+" is no socket") {
		t.Errorf("%v", err)
	}
	env["STATE_DIRECTORY"] = filepath.Dir(s.path)
	if _, err := NewClient("", func(name string) string { return env[name] }).Topics(t.Context(), "twitch"); err != nil {
		t.Error(err)
	}
}

func TestASocketThatOneMayNotUseIsSaidToBe(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may use every socket")
	}
	s := serve(t, &fake{})
	if err := os.Chmod(s.path, 0); err != nil {
		t.Fatal(err)
	}
	_, err := s.client().Topics(t.Context(), "twitch")
	if err == nil || !strings.HasPrefix(err.Error(), "permission denied: "+s.path+" is ") {
		t.Errorf("%v", err)
	}
}

func TestWhoseASocketIsIsSaid(t *testing.T) {
	s := serve(t, &fake{})
	contains(t, whose(s.path), s.path+" is ", "'s: use sudo")
	if got := whose("/nowhere/x"); got != "/nowhere/x: use sudo" {
		t.Errorf("where nothing can be seen: %q", got)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder to another group")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 0, 54321); err != nil {
		t.Fatal(err)
	}
	unseen := filepath.Join(dir, Name)
	if got, want := whose(unseen), unseen+" is root's: use sudo, or be in the group 54321"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheDaemonsNoIsAnError(t *testing.T) {
	s := serve(t, &fake{})
	_, err := s.client().ChangeTopics(t.Context(), Change{Feed: "twitch", Verb: Remove, Topics: []Topic{{Name: "from.file"}}})
	var no *Error
	if !errors.As(err, &no) || no.Kind != Conflict || no.Field != "topics" || no.Text != "from.file is from topics.txt:12: remove it there" {
		t.Errorf("%+v", err)
	}
	if err := s.client().Renew(t.Context(), "kite/../x?y"); !errors.As(err, &no) || no.Kind != http.StatusNotFound {
		t.Errorf("a name with odd characters: %v", err)
	}
}
