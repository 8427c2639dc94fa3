package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/dialects"
)

var update = flag.Bool("update", false, "write what check prints of the configurations in testdata into their .want files")

// loadOptions are those of the commands.
func loadOptions() config.LoadOptions { return dialects.LoadOptions() }

// TestCheckPrintsWhatConfigurationsWouldDo holds what it prints of each file in testdata against the file beside it.
func TestCheckPrintsWhatConfigurationsWouldDo(t *testing.T) {
	t.Chdir("testdata")
	files, err := filepath.Glob("*.good.toml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		code, out, errs := feedmux(t, "check", "--config", file)
		got := out + errs
		if code != 0 {
			t.Errorf("%s: exit %d\n%s", file, code, got)
		}
		wantFile := strings.TrimSuffix(file, ".toml") + ".want"
		if *update {
			if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wantFile)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s says:\n%s\nwant:\n%s", file, got, want)
		}
	}
}

func TestThePlanOfKiteCountsModesInTheSubscribeRate(t *testing.T) {
	var topics strings.Builder
	for i := range 9001 {
		fmt.Fprintf(&topics, "{ topic = \"%d\", mode = \"full\" },", i+1)
	}
	path := write(t, "[[feed]]\nname = \"kite\"\nprotocol = \"kite\"\ntopics = ["+topics.String()+"]\nauth.env = \"T\"\n"+
		"options = { api_key = \"key\", token_dies_at = \"06:00 Asia/Kolkata\" }\nsubject = \"feed.{mode}.{token}\"\n")
	code, out, errs := feedmux(t, "check", "--json", "-c", path)
	var got struct{ Feeds []plan }
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || len(got.Feeds) != 1 {
		t.Fatalf("exit %d, %v: %s %s", code, err, out, errs)
	}
	// Three dials, the last after 4 s; 3,000 topics in 6 batches of 2 messages, the last after 2.2 s; and 2 s without an error.
	p := got.Feeds[0]
	if p.Placed != 9000 || p.Unplaced != 1 || p.LeastWanted != "9001" || p.Connections != 3 || p.Seconds != 8.2 ||
		p.Subject != "feed.full.1" || p.Refused != nil {
		t.Errorf("%+v", p)
	}
	if p.Token == nil || time.Until(*p.Token) <= 0 || time.Until(*p.Token) > 24*time.Hour || p.Token.UTC().Format("15:04") != "00:30" {
		t.Errorf("the token dies at %v", p.Token)
	}
}

func TestThePlanSaysThatASecretIsNotThere(t *testing.T) {
	dir := t.TempDir()
	config, token := filepath.Join(dir, "c.toml"), filepath.Join(dir, "token")
	text := "[[feed]]\nname = \"a\"\nprotocol = \"scaiwave\"\nurl = \"ws://127.0.0.1:1/v1/stream\"\ntopics = [\"*\"]\n[feed.auth]\nfile = \"token\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := feedmux(t, "check", "--config", config)
	if code != 0 || !strings.Contains(out, "secret       is not there now: ") || !strings.Contains(out, token) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if err := os.WriteFile(token, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ = feedmux(t, "check", "--config", config); code != 0 || strings.Contains(out, "secret ") || strings.Contains(out, "s3cret") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
