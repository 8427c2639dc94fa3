package protocoltest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

var update = flag.Bool("update", false, "rewrite the answers in transcripts")

// Run plays each transcript that glob matches, each on a session of its own. No match is a failure. read makes a topic of
// a word after "want"; nil: the word is its name.
func Run(t *testing.T, p protocol.Protocol, glob string, read func(word string) protocol.Topic) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcript matches %s (%v)", glob, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, err := parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			e, err := p.Endpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			played, err := script.play(p.Limits(), p.Open(e), read)
			if err != nil {
				t.Fatalf("%s:%v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(played.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, d := range differences(script, played) {
				t.Errorf("%s:%s", file, d)
			}
		})
	}
}

// play returns the transcript with what s answers. It fails where the script asks for what no caller may.
func (t *transcript) play(limits protocol.Limits, s protocol.Session, read func(string) protocol.Topic) (*transcript, error) {
	played := &transcript{tail: t.tail}
	var out protocol.Out
	for i, step := range t.steps {
		out.Reset()
		var err error
		switch do := step.do; {
		case do.ping:
			s.Ping(&out)
		case do.message != nil:
			err = s.Message(do.message.Kind, do.message.Data, &out)
		default:
			if len(do.want) > limits.SubscribeBatch {
				return nil, fmt.Errorf("%d: more than %d topics in one ask", step.line, limits.SubscribeBatch)
			}
			s.Change(topicsOf(do.want, read), do.drop, &out)
		}
		step.answers = render(&out, err)
		played.steps = append(played.steps, step)
		if err != nil && i < len(t.steps)-1 {
			return nil, fmt.Errorf("%d: the life ended here, and the script goes on", step.line)
		}
	}
	return played, nil
}

// differences says where played is not as script has it.
func differences(script, played *transcript) (list []string) {
	for i, want := range script.steps {
		if got := played.steps[i]; !slices.Equal(got.answers, want.answers) {
			list = append(list, fmt.Sprintf("%d: %s\nanswered:\n\t%s\ninstead of:\n\t%s", want.line, want.source,
				strings.Join(got.answers, "\n\t"), strings.Join(want.answers, "\n\t")))
		}
	}
	return list
}

func topicsOf(words []shard.Topic, read func(string) protocol.Topic) []protocol.Topic {
	topics := make([]protocol.Topic, len(words))
	for i, w := range words {
		if topics[i].Name = w; read != nil {
			topics[i] = read(string(w))
		}
	}
	return topics
}
