package kite

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"feedmux/internal/protocol"
)

// The page for users repeats what the code knows.
func TestThePageAgreesWithTheCode(t *testing.T) {
	page := readPage(t)
	l := New(Options{}).Limits()
	for _, row := range []string{
		fmt.Sprintf("| connections to one API key | %d |", l.Connections),
		fmt.Sprintf("| instruments on a connection | %d |", l.TopicsPerConnection),
		fmt.Sprintf("| instruments in one message | %d | feedmux, `subscribe_batch` in `[feed.limits]`; up to %d.", DefaultBatch, l.SubscribeBatch),
		fmt.Sprintf("| messages | one per %d ms |", DefaultEvery.Milliseconds()),
		fmt.Sprintf("| silence that ends a connection | %d s |", l.Silence/time.Second),
		fmt.Sprintf("| WebSocket ping | every %d s |", l.Ping/time.Second),
		fmt.Sprintf("| %d to the handshake | too many connections", l.Crowded),
		fmt.Sprintf("at most %d bytes |", longestName),
		fmt.Sprintf("one of the last\n%d.", rememberedOrders),
		fmt.Sprintf("at most %d bytes, without secrets", longestWords),
		fmt.Sprintf("rounded to %d digits", changePlaces),
		fmt.Sprintf("segments, 1 to %d", indices),
		fmt.Sprintf("%d, %d, %d, %d or %d bytes", ltpSize, indexSize, indexFullSize, quoteSize, fullSize),
		Note(Instrument{Token: 1}, Instrument{Token: 2}),
	} {
		if !strings.Contains(page, row) {
			t.Errorf("the page lacks %q", row)
		}
	}
	for _, word := range []string{
		skipTruncated, skipTrailing, skipUnknownLength, skipUnknownInstrument, skipMalformed, skipUnknownType, skipRepeatedOrder,
		oddHighBelowLow, oddOutsideRange, oddTimeBackwards, oddUnknownSegment,
	} {
		if !strings.Contains(page, "| `"+word+"` |") {
			t.Errorf("the page does not name %s", word)
		}
	}
	for _, m := range modeNames {
		if !strings.Contains(page, "\n`"+m+"`:\n") {
			t.Errorf("the page has no example of the mode %s", m)
		}
	}
	if !strings.Contains(page, "feed.kite."+string(Order)+".COMPLETE") {
		t.Error("the page does not say where orders go")
	}
}

func TestTheOptionsOnThePageAreGood(t *testing.T) {
	tree := make(map[string]any)
	for _, m := range regexp.MustCompile(`(?m)^(api_key|token_dies_at|instruments|drop_invalid) += ("[^"]*"|true)`).
		FindAllStringSubmatch(readPage(t), -1) {
		tree[m[1]] = strings.Trim(m[2], `"`)
		if m[2] == "true" {
			tree[m[1]] = true
		}
	}
	s, said := decode(tree)
	if len(tree) != 4 || s.APIKey == "" || s.Instruments == "" || s.TokenDiesAt.IsZero() || !s.DropInvalid || said != nil {
		t.Errorf("%v: %+v, %q", tree, s, said)
	}
}

// The examples are what comes of the transcripts' frames.
func TestTheBodiesOnThePageAreReal(t *testing.T) {
	s := open(Options{})
	change(s, topics("408065", "884737", "256265"))
	real := make(map[string]bool)
	for _, line := range messages(t, "< binary") {
		msg, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		var out protocol.Out
		if err := s.Message(protocol.Binary, msg, &out); err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			real[string(e.Payload)] = true
		}
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(readPage(t), -1)
	if len(examples) != 4 {
		t.Errorf("%d examples", len(examples))
	}
	for _, m := range examples {
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(m[1])); err != nil || !real[b.String()] {
			t.Errorf("%v: no tick is %s", err, b.String())
		}
	}
}

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/kite.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
