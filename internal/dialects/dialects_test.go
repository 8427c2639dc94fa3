package dialects

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/protocol/kite"
)

var update = flag.Bool("update", false, "write what is wrong with the configurations in testdata into their .want files")

// TestConfigurationsSayWhatIsWrong holds all problems of each file in testdata against the file beside it.
func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	t.Chdir("testdata")
	t.Setenv("HTTPS_PROXY", "http://one:hidden@another-proxy:3128")
	for _, other := range []string{"https_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(other, "")
	}
	files, err := filepath.Glob("*.bad.toml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		_, err := config.Load(file, LoadOptions())
		if err == nil {
			t.Errorf("%s is good", file)
			continue
		}
		got := err.Error() + "\n"
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
		if strings.Contains(got, "hidden") {
			t.Errorf("%s shows a secret:\n%s", file, got)
		}
	}
}

// TestTheFeedsInTheExamplesCommentsAreGood: those whose lines begin with ##.
func TestTheFeedsInTheExamplesCommentsAreGood(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("testdata/instruments.csv")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "instruments.csv"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KITE_API_KEY", "key")
	text = regexp.MustCompile(`(?m)^## ?`).ReplaceAll(text, nil)
	c, err := config.Parse(filepath.Join(dir, "config.toml"), text, LoadOptions())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Feeds) != 3 {
		t.Fatalf("%d feeds", len(c.Feeds))
	}
	ticker, stream := c.Feeds[1], c.Feeds[2]
	if l := ticker.Limits; ticker.Account != "kite-2c70e12b" || l.Connections != 3 || l.TopicsPerConnection != 3000 ||
		l.SubscribeBatch != 500 || l.SubscribeRate != (config.Rate{N: 1, Per: 200 * time.Millisecond}) {
		t.Errorf("kite: %+v", ticker)
	}
	if stream.Backoff.Max != 30*time.Second || stream.Limits.Connections != 1 ||
		!regexp.MustCompile(`^scaiwave-[0-9a-f]{8}$`).MatchString(stream.Account) {
		t.Errorf("scaiwave: %+v", stream)
	}
	plain, err := config.Parse(filepath.Join(dir, "config.toml"), []byte("[[feed]]\nname = 'scaiwave'\nprotocol = 'scaiwave'\n"+
		"url = 'wss://h/v1/stream'\ntopics = ['*']\nauth.env = 'A'\n"), LoadOptions())
	if err != nil {
		t.Fatal(err)
	}
	if plain.Feeds[0].Subject != stream.Subject {
		t.Errorf("the example's subject %s is not the default", stream.Subject)
	}
}

func TestAnAccountIsShownByAFingerprintOfItsSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	feed := func(protocol string) string {
		f := &config.Feed{Name: "a", Protocol: protocol, Auth: config.Secret{File: file}, Options: map[string]any{"api_key": "token"}}
		return all()[protocol].Account(f)
	}
	missing := feed("scaiwave")
	if err := os.WriteFile(file, []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "3c469e9d" // of "token"
	if got := feed("kite"); got != "kite-"+sum {
		t.Errorf("kite: %s", got)
	}
	if got := feed("scaiwave"); got != "scaiwave-"+sum || got == missing {
		t.Errorf("scaiwave: %s, and without the file %s", got, missing)
	}
}

// The list of instruments is no part of the configuration: it may be good in a moment, and other feeds need none.
func TestAListThatIsNotThereMakesNoConfigurationBad(t *testing.T) {
	c, err := config.Parse(filepath.Join(t.TempDir(), "c.toml"), []byte(`[[feed]]
name = "kite"
protocol = "kite"
topics = ["NSE:INFY", "5633", "NSE:GONE"]
auth.env = "T"
options = { api_key = "key", instruments = "none.csv" }
`), LoadOptions())
	if err != nil {
		t.Fatal(err)
	}
	store := memory{"NSE:INFY": 408065}
	source, err := all()["kite"].SourceOf(c.Feeds[0], store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var tokens []uint32
	for _, w := range source.Wanted() {
		i := w.Options.(kite.Instrument)
		if tokens = append(tokens, i.Token); i.Token == 0 && !strings.Contains(i.Problem, "none.csv: no such file") {
			t.Errorf("%s is refused: %s", w.Topic, i.Problem)
		}
	}
	if !slices.Equal(tokens, []uint32{408065, 5633, 0}) {
		t.Errorf("the topics stand for %v", tokens)
	}
}

// memory is what instruments stood for in the run before.
type memory map[string]uint32

func (m memory) Load(v any) error { *v.(*map[string]uint32) = m; return nil }
func (memory) Save(any) error     { return nil }

// TestOnlyTheFirstOfTwoNamesIsWanted: a topic has one record, whatever leads to its name.
func TestOnlyTheFirstOfTwoNamesIsWanted(t *testing.T) {
	c, err := config.Parse("testdata/c.toml", []byte(`[[feed]]
name = "kite"
protocol = "kite"
topics = [{ topic = "408065", name = "NSE:INFY" }, { topic = "NSE:INFY", priority = 3 }, "NSE:GONE"]
auth.env = "T"
options = { api_key = "key", instruments = "instruments.csv" }
`), LoadOptions())
	if err != nil {
		t.Fatal(err)
	}
	source, err := all()["kite"].SourceOf(c.Feeds[0], nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	wanted := source.Wanted()
	if len(wanted) != 2 || wanted[0].Topic != "NSE:INFY" || wanted[0].Priority != 3 || wanted[1].Topic != "NSE:GONE" {
		t.Errorf("wanted are %+v", wanted)
	}
	if i := wanted[0].Options.(kite.Instrument); i.Token != 408065 || i.Problem != "" {
		t.Errorf("the first stands for %+v", i)
	}
	if i := wanted[1].Options.(kite.Instrument); i.Token != 0 || i.Problem == "" {
		t.Errorf("the second stands for %+v", i)
	}
}

// TestACommandIsNotRunToNameAnAccount: nothing but the daemon runs it, so feeds with one command are taken for one account.
func TestACommandIsNotRunToNameAnAccount(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	feed := func(arg string) string {
		f := &config.Feed{Name: "a", Protocol: "scaiwave", Auth: config.Secret{Command: []string{"touch", ran, arg}}}
		return all()["scaiwave"].Account(f)
	}
	if a, b := feed(ran), feed(ran); a != b || a == feed(ran+"2") {
		t.Errorf("the accounts are %s, %s and %s", a, b, feed(ran+"2"))
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command was run")
	}
}

// TestAUsualSpellingNamesTheAccount: the names are in metrics, in docs, and in the journal of dials.
func TestAUsualSpellingNamesTheAccount(t *testing.T) {
	for url, want := range map[string]string{
		"wss://pubsub-edge.twitch.tv": "pubsub-edge.twitch.tv", "ws://127.0.0.1:7001/x?y": "127.0.0.1:7001",
		"wss://[2001:db8::1]": "[2001:db8::1]", "ws://[::1]:7001": "[::1]:7001", "wss://h.example:8443/": "h.example:8443",
	} {
		f := &config.Feed{Protocol: "twitch-pubsub", URL: url}
		if got := all()["twitch-pubsub"].Account(f); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	f := &config.Feed{URL: "wss://h", LocalAddress: netip.MustParseAddr("192.0.2.7"), Proxy: "socks5://[::1]"}
	if got, want := wayOf(f), "h from 192.0.2.7 through [::1]:1080"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAWrongFileOfTopicsIsToldInAFewLines: what is said of it goes into the log, and into the status.
func TestAWrongFileOfTopicsIsToldInAFewLines(t *testing.T) {
	dir := t.TempDir()
	const lines = 2000
	page := strings.Repeat("<p>a "+strings.Repeat("long ", 40)+"line</p>\n", lines)
	var numbered strings.Builder // each once, where the protocol has lines that are alike for one topic
	for i, line := range slices.Collect(strings.Lines(page)) {
		fmt.Fprintf(&numbered, "%d %s", i, line)
	}
	if err := os.WriteFile(filepath.Join(dir, "topics.txt"), []byte(numbered.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for protocol, more := range map[string]string{
		"twitch-pubsub": "", "kite": "auth.env = 'A'\noptions.api_key = 'a'", "scaiwave": "auth.env = 'A'\nurl = 'wss://h/v1/stream'",
	} {
		_, err := config.Parse(filepath.Join(dir, "c.toml"), []byte("[[feed]]\nname = 'a'\nprotocol = '"+protocol+
			"'\ntopics_file = 'topics.txt'\n"+more+"\n"), LoadOptions())
		problems, _ := err.(config.Problems)
		if problems.Count() != lines || len(problems) != 21 || len(problems.Error()) > 16<<10 ||
			!strings.HasSuffix(problems.Error(), "topics.txt: and 1980 more problems, which are not shown") {
			t.Errorf("%s: %d problems in %d lines and %d bytes: %.300s", protocol, problems.Count(), len(problems), len(problems.Error()), problems)
		}
	}
}
