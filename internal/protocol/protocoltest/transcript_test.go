package protocoltest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// dialogue has every kind of line.
const dialogue = `# Two topics, one of them quoted.
want a "b c"
> +a
> +b c

# All of the flags.
< text hello
live
pong
move
< text ok a
settled a confirmed
< text no a because
settled a refused because
< text a={"n": 1}
event a {"n": 1}
< text "a=\n"
event a "\n"
< text a=
event a ""
< text nonsense
skipped odd
< binary 0102
> binary ff0102
ping
> ?
drop a
> -a
< text bye
error the other side ended it
# The end.
`

func TestTranscriptPlaysAsItIsWritten(t *testing.T) {
	if got := play(t, dialogue); got != dialogue {
		t.Errorf("played:\n%s", got)
	}
}

func TestPlayingRewritesAnswersAndNothingElse(t *testing.T) {
	var wrong []string
	for line := range strings.Lines(dialogue) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(answers, word) {
			wrong = append(wrong, line)
		}
	}
	if got := play(t, strings.Join(wrong, "")); got != dialogue {
		t.Errorf("without any answers:\n%s", got)
	}
	if got := play(t, strings.ReplaceAll(dialogue, "confirmed", "refused")); got != dialogue {
		t.Errorf("with a wrong answer:\n%s", got)
	}
}

func TestTranscriptErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"live\n", "line 1:"},
		{"ping\n# so\n> ?\n", "line 3:"},
		{"\nlisten a\n", "line 2:"},
		{"want\n", "line 1:"},
		{"want \"a\n", "line 1:"},
		{"ping pong\n", "line 1:"},
		{"< a\n", "line 1:"},
		{"< binary 0\n", "line 1:"},
		{"< text \"a\n", "line 1:"},
		{"ping\n < text a\n", "line 2:"},
	} {
		if _, err := parse(c.script); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: error %v, not at %s", c.script, err, c.want)
		}
	}
}

func TestScriptsThatNoCallerCouldFollowAreRefused(t *testing.T) {
	for _, script := range []string{
		"want a b c\n",            // a batch is two
		"< text bye\n< text ok\n", // after the end
	} {
		parsed, err := parse(script)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.play(fake{}.Limits(), fake{}, nil); err == nil {
			t.Errorf("%q was played", script)
		}
	}
}

func TestAllThatASessionSaysIsShown(t *testing.T) {
	out := protocol.Out{
		Frames: []protocol.Frame{{Kind: protocol.Ping}},
		Events: []protocol.Event{
			{Topic: []byte("a"), ID: []byte("7"), Payload: []byte("x")},
			{
				Topic: []byte("r/t"), Wider: [][]byte{[]byte("r"), []byte("*")}, Values: [][]byte{[]byte("r"), []byte("a b")},
				Payload: []byte("y"), Position: []byte("12"), Sent: time.Unix(0, 0),
			},
		},
		Oddities: []protocol.Oddity{{Kind: "high_below_low", Topic: []byte("a")}},
		Words:    []protocol.Words{{Kind: "error", Text: "too many"}},
		Full:     true,
		Skipped:  []protocol.Skip{{Reason: "malformed", N: 1}, {Reason: "odd", N: 3}},
	}
	want := []string{
		"> ping", "event a id=7 x", `event r/t or=r or=* value=r value="a b" position=12 sent=1970-01-01T00:00:00Z y`,
		"odd a high_below_low", "words error too many", "full", "skipped malformed", "skipped odd 3",
	}
	if got := render(&out, nil); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestEveryTopicOfASettlementHasALine(t *testing.T) {
	out := protocol.Out{Settled: []protocol.Settlement{
		{Topics: []shard.Topic{"a", "b"}, Verdict: protocol.Split, Reason: "too many"},
		{Topics: []shard.Topic{"c"}, Verdict: protocol.Again},
	}}
	if got := render(&out, nil); !slices.Equal(got, []string{
		"settled a split too many", "settled b split too many", "settled c again",
	}) {
		t.Errorf("%q", got)
	}
}

func play(t *testing.T, script string) string {
	t.Helper()
	parsed, err := parse(script)
	if err != nil {
		t.Fatal(err)
	}
	played, err := parsed.play(fake{}.Limits(), fake{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return played.String()
}

func FuzzParse(f *testing.F) {
	f.Add(dialogue)
	f.Add("want \"\\\"\" a\"b\n")
	f.Add("< text \"\\xff\"\n> x\n\n#")
	f.Fuzz(func(t *testing.T, text string) {
		script, err := parse(text)
		if err != nil {
			return
		}
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if got := script.String(); got != text {
			t.Errorf("%q was printed as %q", text, got)
		}
		for _, s := range script.steps {
			set := 0
			for _, b := range []bool{len(s.do.want) > 0, len(s.do.drop) > 0, s.do.ping, s.do.message != nil} {
				if b {
					set++
				}
			}
			if set != 1 {
				t.Errorf("%q does %d things", s.source, set)
			}
		}
	})
}

func FuzzQuoting(f *testing.F) {
	for _, s := range []string{"", " ", "a b", `"`, "\xff", "a\nb", `\`, "ä", "\u00a0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseMessage("text " + text(s)); err != nil || string(got.Data) != s {
			t.Errorf("%q as text: %v %v", s, got, err)
		}
		if got, err := parseTopics(word(s) + " " + word(s)); err != nil ||
			!slices.Equal(got, []shard.Topic{shard.Topic(s), shard.Topic(s)}) {
			t.Errorf("%q as word: %q %v", s, got, err)
		}
	})
}
