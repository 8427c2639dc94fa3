package twitch

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed data/twitch-pubsub-frames.jsonl
var twitchFrames []byte

// Frame is a frame that Twitch sent; see data/README.md.
type Frame struct {
	At   time.Time `json:"at"` // UTC, to the second
	Text string    `json:"frame"`
}

// Frames returns the real PubSub frames that the simulator is made from, in the order of the file.
func Frames() []Frame {
	var frames []Frame
	for line := range bytes.Lines(twitchFrames) {
		var f Frame
		if err := json.Unmarshal(line, &f); err != nil {
			panic(fmt.Sprintf("twitch: bug: embedded frames: %v", err))
		}
		frames = append(frames, f)
	}
	return frames
}

// numberMarks says where an event carries its number: in the digits after the last occurrence of the first of these texts
// that its body holds. Each is the key of a figure that varies in the real frames of one kind, so the bytes keep their
// shape.
var numberMarks = [...]string{
	`"viewers":`,                // viewcount
	`"play_delay":`,             // stream-up
	`"sequence_id":`,            // hype-train-progression
	`"SUBS.TIER_1_GIFTED_SUB":`, // hype-train-conductor-update
	`"total":`,                  // hype-train-level-up
	`"balance":`,                // points-earned
	`"factor":0.`,               // active-multipliers-updated
	`"event_value":`,            // leaderboard
	`"cost":`,                   // redemption-status-update
	`"total_bits_used":`,        // bits
	`"args":["viewer_four","`,   // moderation_action: the seconds of the time-out
	`"channel_id":"`,            // user-subscribe-events
}

// findNumber returns where the number's digits are in body, in which a quote is spelled quote; ok is false if there are
// none.
func findNumber(body []byte, quote string) (from, to int, ok bool) {
	for _, mark := range numberMarks {
		if quote != `"` {
			mark = strings.ReplaceAll(mark, `"`, quote)
		}
		if i := bytes.LastIndex(body, []byte(mark)); i >= 0 {
			from = i + len(mark)
			for to = from; to < len(body) && '0' <= body[to] && body[to] <= '9'; to++ {
			}
			return from, to, to > from
		}
	}
	return 0, 0, false
}

// EventNumber reads the number that the simulator put into an event. body is the event itself, which is what the frame's
// data.message holds once its escaping is undone. Numbers count from 1 for each topic.
func EventNumber(body []byte) (n uint64, ok bool) {
	from, to, ok := findNumber(body, `"`)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(string(body[from:to]), 10, 64)
	return n, err == nil
}

// template is the body of a real event, still escaped, cut at the places that change from event to event.
type template struct {
	holes []hole
	tail  []byte
}

type hole struct {
	before []byte // what stands between the previous hole and this one
	kind   holeKind
	offset time.Duration // of a time: from the event's own
}

type holeKind byte

const (
	holeNumber  holeKind = iota
	holeSeconds          // since 1970
	holeMicros           // the same with six decimals
	holeMillis
	holeNanos
	holeRFC3339
)

// times finds the times in an escaped body: the key, then a number or a string.
var times = regexp.MustCompile(
	`\\"(server_time|time_of_event|time_to_expire|timestamp|created_at|redeemed_at|time)\\":(?:\\")?([0-9][^,}"\\]*)`)

// library holds the templates by the kind of topic that they came for: its name up to the first dot.
type library map[string][]*template

// fallbackKind is the kind whose events stand in where there is no real frame of the topic's own.
const fallbackKind = "video-playback-by-id"

func newLibrary() library {
	lib := library{}
	for _, f := range Frames() {
		rest, ok1 := strings.CutPrefix(f.Text, realEnvelope.head)
		topic, rest, ok2 := strings.Cut(rest, realEnvelope.middle)
		body, ok3 := strings.CutSuffix(rest, realEnvelope.tail)
		if !ok1 || !ok2 || !ok3 {
			panic("twitch: bug: an embedded frame is no MESSAGE: " + f.Text)
		}
		kind := kindOf(topic)
		lib[kind] = append(lib[kind], newTemplate([]byte(body), f.At))
	}
	return lib
}

func kindOf(topic string) string {
	kind, _, _ := strings.Cut(topic, ".")
	return kind
}

func (lib library) of(topic string) []*template {
	if t := lib[kindOf(topic)]; t != nil {
		return t
	}
	return lib[fallbackKind]
}

func newTemplate(body []byte, at time.Time) *template {
	type cut struct {
		from, to int
		kind     holeKind
		when     time.Time
	}
	from, to, ok := findNumber(body, `\"`)
	if !ok {
		panic("twitch: bug: an embedded frame has no place for a number: " + string(body))
	}
	cuts := []cut{{from: from, to: to, kind: holeNumber}}
	own := at // the event's own time
	for _, m := range times.FindAllSubmatchIndex(body, -1) {
		key, value := string(body[m[2]:m[3]]), string(body[m[4]:m[5]])
		kind, when := parseTime(key, value)
		cuts = append(cuts, cut{from: m[4], to: m[5], kind: kind, when: when})
		if len(cuts) == 2 && key != "time_to_expire" {
			own = when
		}
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.from - b.from })

	t, done := &template{}, 0
	for _, c := range cuts {
		t.holes = append(t.holes, hole{before: body[done:c.from], kind: c.kind, offset: c.when.Sub(own)})
		done = c.to
	}
	t.tail = body[done:]
	return t
}

func parseTime(key, value string) (holeKind, time.Time) {
	if when, err := time.Parse(time.RFC3339Nano, value); err == nil {
		return holeRFC3339, when
	}
	whole, fraction, hasFraction := strings.Cut(value, ".")
	n, err1 := strconv.ParseInt(whole, 10, 64)
	micros, err2 := strconv.ParseInt("0"+fraction, 10, 64)
	if err1 != nil || err2 != nil || hasFraction && len(fraction) != 6 {
		panic("twitch: bug: an embedded frame has an odd time: " + value)
	}
	switch {
	case hasFraction:
		return holeMicros, time.Unix(n, micros*1000)
	case key == "time_to_expire":
		return holeMillis, time.UnixMilli(n)
	case key == "time_of_event":
		return holeNanos, time.Unix(0, n)
	}
	return holeSeconds, time.Unix(n, 0)
}

// append appends the body with number n, as if it had happened now, and says where in dst the number is.
func (t *template) append(dst []byte, n uint64, now time.Time) (out []byte, number, numberEnd int) {
	for _, h := range t.holes {
		dst = append(dst, h.before...)
		when := now.Add(h.offset)
		switch h.kind {
		case holeNumber:
			number = len(dst)
			dst = strconv.AppendUint(dst, n, 10)
			numberEnd = len(dst)
		case holeSeconds:
			dst = strconv.AppendInt(dst, when.Unix(), 10)
		case holeMicros:
			dst = strconv.AppendInt(dst, when.Unix(), 10)
			dst = append(dst, '.')
			micros := when.Nanosecond() / 1000
			for unit := 100_000; unit > 0; unit /= 10 {
				dst = append(dst, byte('0'+micros/unit%10))
			}
		case holeMillis:
			dst = strconv.AppendInt(dst, when.UnixMilli(), 10)
		case holeNanos:
			dst = strconv.AppendInt(dst, when.UnixNano(), 10)
		case holeRFC3339:
			dst = when.UTC().AppendFormat(dst, time.RFC3339Nano)
		}
	}
	return append(dst, t.tail...), number, numberEnd
}

// overwriteNumber writes n over the digits of b, which hold a smaller number, and says false where it has more of them.
func overwriteNumber(b []byte, n uint64) bool {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return n == 0
}
