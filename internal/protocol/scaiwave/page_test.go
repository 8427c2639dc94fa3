package scaiwave

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// The page for users repeats what the code knows.
func TestThePageAgreesWithTheCode(t *testing.T) {
	file, err := os.ReadFile("../../../docs/scaiwave.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(file)
	l := New(Options{}).Limits()
	for _, words := range []string{
		"| connections to one token | 1 |", "| hello | within 2 s |", "| our pings | every 25 s |", "| silence | 75 s,", "| topics | 10,000 |",
		fmt.Sprintf("docs: %d at most", mostEvents),
		fmt.Sprintf("at most %d bytes", maxTopic),
		"The default of `subject` is `" + DefaultSubject + "`",
		"`" + streamPath + "`", "`" + syncPath + "`",
	} {
		if !strings.Contains(page, words) {
			t.Errorf("the page lacks %q", words)
		}
	}
	if l.Connections != 1 || l.LiveWithin != 2*time.Second || l.Ping != 25*time.Second || l.Silence != 75*time.Second ||
		l.TopicsPerConnection != 10_000 || l.SubscribeBatch != 10_000 || l.Overlap != protocol.Never ||
		l.Answers != protocol.Unasked || !l.RetryAtOnce {
		t.Errorf("not what the page says: %+v", l)
	}
	for _, word := range []string{skipBinary, skipMalformed, skipBeforeHello, skipFurther, "tenant", "start", "now"} {
		if !strings.Contains(page, word) {
			t.Errorf("the page does not name %s", word)
		}
	}
	for _, v := range Variables() {
		if !strings.Contains(page, "`{"+v+"}`") {
			t.Errorf("the page does not name the variable %s", v)
		}
	}
}

func TestTheUrlOfThePageIsTaken(t *testing.T) {
	page := block(t, "```toml\n[nats]", "```")
	_, raw, _ := strings.Cut(page, `url      = "`)
	raw, _, _ = strings.Cut(raw, `"`)
	if err := CheckURL(raw); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
}

func TestTheBodyOfThePageIsWhatASessionMakes(t *testing.T) {
	body := strings.TrimSpace(block(t, "```json\n", "```"))
	frame := strings.TrimSuffix(body, "}") + ` , "tenant_id":"t-1", "ts" : "2026-05-17T11:00:00Z"}`
	var out protocol.Out
	if err := greeted(t).Message(protocol.Text, []byte(frame), &out); err != nil || len(out.Events) != 1 || len(out.Skipped) > 0 {
		t.Fatal(err, out)
	}
	if got := string(out.Events[0].Payload); got != body {
		t.Errorf("the body is %s", got)
	}
}

func TestTheTopicsOfThePageAreTopics(t *testing.T) {
	p := New(Options{Token: func(context.Context) (string, error) { return "t", nil }})
	table := block(t, "| topic | events |\n|---|---|\n", "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != 3 {
		t.Errorf("%d topics", len(rows))
	}
	for _, row := range rows {
		name := shard.Topic(strings.Split(row, "`")[1])
		if err := p.Check(protocol.Topic{Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// block is what stands on the page between two marks.
func block(t *testing.T, from, to string) string {
	t.Helper()
	file, err := os.ReadFile("../../../docs/scaiwave.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(file), from)
	text, _, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatalf("the page has nothing between %q and %q", from, to)
	}
	return text
}
