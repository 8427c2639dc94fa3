package pubsub

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The page for users repeats what the code knows.
func TestThePageAgreesWithTheCode(t *testing.T) {
	file, err := os.ReadFile("../../../docs/twitch-pubsub.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(file)
	_, rest, _ := strings.Cut(page, "No token (")
	public, private, ok := strings.Cut(rest, "The token of the user")
	private, _, _ = strings.Cut(private, "\n## ")
	if !ok {
		t.Fatal("the page has no list of topics")
	}
	for _, name := range tokenTopics {
		if !strings.Contains(private, "`"+name+"`") || strings.Contains(public, "`"+name+"`") {
			t.Errorf("%s is not among those that need a token, or among the others", name)
		}
	}
	if listed := strings.Count(private, "`") / 2; listed != len(tokenTopics) {
		t.Errorf("the page has %d topics that need a token, the code %d", listed, len(tokenTopics))
	}
	for _, row := range []string{
		"| connections from one address | 10 |", "| topics on a connection | 50 |", "| topics in one LISTEN | 20 |",
		"| first LISTEN after connecting | 15 s |", "feedmux: every 45 s |",
	} {
		if !strings.Contains(page, row) {
			t.Errorf("the page lacks %q", row)
		}
	}
	l := New(Options{}).Limits()
	if l.Connections != 10 || l.TopicsPerConnection != 50 || l.SubscribeBatch != 20 ||
		l.FirstAsk != 15*time.Second || l.Ping != 45*time.Second {
		t.Errorf("not what the page says: %+v", l)
	}
	for _, word := range []string{skipBinary, skipMalformed, skipUnknownNonce, skipUnknownType} {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("the page does not name %s", word)
		}
	}
}
