package subject

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestTopicsBecomeSubjectsAndBack(t *testing.T) {
	for _, c := range []struct{ topic, encoded string }{
		{"video-playback-by-id.123", "video-playback-by-id.123"},
		{"btcusdt@trade", "btcusdt=40trade"},
		{"NSE:INFY", "NSE=3AINFY"},
		{"", "="},
		{"=", "=3D"},
		{"=3D", "=3D3D"},
		{".", "=2E"},
		{"..", "=2E=2E"},
		{".a", "=2Ea"},
		{"a.", "a=2E"},
		{"a..b", "a=2E=2Eb"},
		{".a.b", "=2Ea.b"},
		{"a.b..c.d", "a.b=2E=2Ec.d"},
		{"a.*.>", "a.=2A.=3E"},
		{"a b\r\n\x00", "a=20b=0D=0A=00"},
		{"é", "=C3=A9"},
	} {
		if got := EncodeTopic(c.topic); got != c.encoded {
			t.Errorf("EncodeTopic(%q) = %q, want %q", c.topic, got, c.encoded)
		}
		if got, err := DecodeTopic(c.encoded); got != c.topic || err != nil {
			t.Errorf("DecodeTopic(%q) = %q, %v, want %q", c.encoded, got, err, c.topic)
		}
	}
}

func TestATokenHasNoSeparator(t *testing.T) {
	if got := EncodeToken("a.b"); got != "a=2Eb" {
		t.Errorf("EncodeToken(a.b) = %q, want a=2Eb", got)
	}
	if got, err := DecodeToken("a=2Eb"); got != "a.b" || err != nil {
		t.Errorf("DecodeToken(a=2Eb) = %q, %v, want a.b", got, err)
	}
	if _, err := DecodeToken("a.b"); err == nil {
		t.Error("DecodeToken takes a.b, which is two tokens")
	}
}

func TestOnlyOneSpellingOfATopicIsDecoded(t *testing.T) {
	for _, s := range []string{
		"", "=6", "a=", "=61", "=2f", "=2e", "a=2Eb", "a.=", "=.a", "a..b", ".a", "a.", "*", "a.>", "a b", "é", "==", "=GG",
	} {
		if got, err := DecodeTopic(s); err == nil {
			t.Errorf("DecodeTopic(%q) = %q, want an error", s, got)
		}
	}
}

func TestTemplatesThatCannotBeUsedAreRefused(t *testing.T) {
	for _, s := range []string{
		"", ".", "feed", "feed.{feed}", "{topic}", "{feed}.{topic}", "feed.{topic}.{topic}", "feed.x{topic}",
		"feed.{topic}x", "feed.{channel}.{topic}", "feed..{topic}", ".feed.{topic}", "feed.{topic}.", "feed.*.{topic}",
		"feed.>.{topic}", "feed.a b.{topic}", "feedmux.{topic}", "$SYS.{topic}", "_INBOX.{topic}", "feed.{}.{topic}",
		"feed.=41.{topic}", "feed.{feed.{topic}",
	} {
		if _, err := Parse(s); err == nil {
			t.Errorf("Parse takes %q", s)
		}
	}
}

func TestATemplateFillsInFeedAndTopic(t *testing.T) {
	for _, c := range []struct{ template, topic, subject string }{
		{"feed.{feed}.{topic}", "a.b", "feed.my-feed.a.b"},
		{"acme.{topic}", "a", "acme.a"},
		{"acme.{topic}.{feed}.raw", "", "acme.=.my-feed.raw"},
	} {
		tm := mustParse(t, c.template)
		got, err := tm.Subject("my-feed", c.topic)
		if got != c.subject || err != nil {
			t.Errorf("%s: Subject(%q) = %q, %v, want %q", c.template, c.topic, got, err, c.subject)
		}
		if topic, _, ok := undo(tm, "my-feed", c.subject); topic != c.topic || !ok {
			t.Errorf("%s: %q is undone to %q, %v, want %q", c.template, c.subject, topic, ok, c.topic)
		}
	}
	if got := mustParse(t, "acme.{feed}.{topic}").Root(); got != "acme" {
		t.Errorf("Root is %q, want acme", got)
	}
}

var scaiwave = []string{"room", "type"}

func TestAProtocolsOwnVariablesAreOneTokenEach(t *testing.T) {
	for _, c := range []struct {
		template string
		values   []string
		subject  string
	}{
		{"feed.{feed}.{room}.{type}", []string{"a.b", "swp.room"}, "feed.f.a=2Eb.swp=2Eroom"},
		{"feed.{type}", []string{"r", "typing"}, "feed.typing"},
		{"feed.{type}.{room}.{type}", []string{"r", ">"}, "feed.=3E.r.=3E"},
		{"feed.{room}.{topic}.{type}", []string{"", "*"}, "feed.=.x.y.=2A"},
		{"feed.{room}.{type}", []string{"r"}, "feed.r.="}, // the event has no such value
		{"feed.{feed}", []string{"r", "t"}, "feed.f"},
	} {
		got, err := mustParse(t, c.template, scaiwave...).Subject("f", "x.y", bytesOf(c.values)...)
		if got != c.subject || err != nil {
			t.Errorf("%s with %q: %q, %v, want %q", c.template, c.values, got, err, c.subject)
		}
	}
}

func TestAPatternHasAStarForEachValue(t *testing.T) {
	for template, want := range map[string]string{
		"feed.{feed}.{room}.{type}": "feed.f.*.*",
		"feed.{topic}.{type}":       "feed.a.b.*",
		"feed.{topic}":              "feed.a.b",
	} {
		if got, err := mustParse(t, template, scaiwave...).Pattern("f", "a.b"); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", template, got, err, want)
		}
	}
	tm := mustParse(t, "feed.{feed}.{room}.{type}", scaiwave...)
	if got, err := tm.Pattern("f", "a", nil, []byte("*")); got != "feed.f.*.=2A" || err != nil {
		t.Errorf("with a type that is known: %q, %v", got, err)
	}
	if _, err := tm.Pattern("f", "a", bytesOf([]string{strings.Repeat("a", 201)})...); !errors.Is(err, ErrValueTooLong) {
		t.Errorf("with a room that is too long: %v", err)
	}
}

func TestAnAsideStandsInThePlaceOfTheTopic(t *testing.T) {
	for template, want := range map[string]string{
		"feed.{feed}.{topic}":        "feed.f.order.UP=2EDATE",
		"feed.{topic}.{mode}.{feed}": "feed.order.UP=2EDATE.=.f",
		"feed.{token}":               "feed.=",
	} {
		tm := mustParse(t, template, "mode", "token")
		if got, err := tm.Aside("f", "order", []byte("UP.DATE")); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", template, got, err, want)
		}
		want = strings.ReplaceAll(want, "UP=2EDATE", "*")
		if got, err := tm.AsidePattern("f", "order", 1); got != want || err != nil {
			t.Errorf("%s: the pattern is %q, %v, want %q", template, got, err, want)
		}
	}
}

func TestValuesFromUpstreamAreBounded(t *testing.T) {
	tm := mustParse(t, "feed.{topic}.{room}.{type}", scaiwave...)
	room := func(n int, c string) [][]byte { return [][]byte{[]byte(strings.Repeat(c, n))} }
	for _, c := range []struct {
		values [][]byte
		want   error
	}{
		{room(200, "a"), nil},
		{room(201, "a"), ErrValueTooLong},
		{room(66, "@"), nil}, // three bytes each
		{room(67, "@"), ErrValueTooLong},
		{room(1<<20, "a"), ErrValueTooLong},
	} {
		if _, err := tm.Subject("f", "x", c.values...); !errors.Is(err, c.want) {
			t.Errorf("a value of %d bytes: %v, want %v", len(c.values[0]), err, c.want)
		}
		if _, err := tm.Aside("f", "order", c.values...); !errors.Is(err, c.want) {
			t.Errorf("an aside with a value of %d bytes: %v, want %v", len(c.values[0]), err, c.want)
		}
	}
	six := [][]byte{}
	for range 6 {
		six = append(six, room(200, "a")[0])
	}
	if _, err := tm.Aside("f", "order", six...); !errors.Is(err, ErrTooLong) {
		t.Errorf("six long values: %v, want ErrTooLong", err)
	}
	if _, err := tm.Pattern("f", strings.Repeat("a", MaxLength)); !errors.Is(err, ErrTooLong) {
		t.Errorf("the pattern of a long topic: %v, want ErrTooLong", err)
	}
}

func TestTemplatesThatUseAProtocolsVariablesWrongAreRefused(t *testing.T) {
	for template, want := range map[string]string{
		"feed.{topic}.{topic}": "{topic} may stand only once",
		"feed.{status}":        "unknown variable {status}: there are {feed}, {room}, {type} and {topic}",
		"feed.x{room}":         `"x{room}": a variable fills a whole token`,
		"feed.room}":           `"room}": a variable fills a whole token`,
		"{room}.{topic}":       "the first token is a word, not a variable",
	} {
		if _, err := Parse(template, scaiwave...); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", template, err, want)
		}
	}
	tm := mustParse(t, "feed.{type}", scaiwave...)
	if tm.HasTopic() || tm.Has(0) || !tm.Has(1) {
		t.Error("the template is said to have other variables than it has")
	}
}

func TestPatternsMeetWhereOneSubjectFitsBoth(t *testing.T) {
	for _, c := range []struct {
		a, b string
		meet bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.*", "a.c", true}, {"a.*", "*.c", true}, {"a.*.x", "a.b.y", false},
		{"a.*", "a", false}, {"a.*", "a.b.c", false}, {"*.*", "a.b", true}, {"a", "b", false}, {"a.b", "a.*.*", false},
	} {
		if Meet(c.a, c.b) != c.meet || Meet(c.b, c.a) != c.meet {
			t.Errorf("Meet(%s, %s) is not %v", c.a, c.b, c.meet)
		}
	}
}

func TestSubjectsAreBounded(t *testing.T) {
	tm := mustParse(t, "feed.{feed}.{topic}")
	longest := ""
	for n := range MaxLength {
		topic := strings.Repeat("a", n)
		if _, err := tm.Subject("f", topic); err == nil {
			longest = topic
		} else if !errors.Is(err, ErrTooLong) {
			t.Fatal(err)
		}
	}
	// The notices' subject is the longer one.
	if want := MaxLength - len("feedmux.topic.f."); len(longest) != want {
		t.Errorf("the longest topic has %d bytes, want %d", len(longest), want)
	}
	if _, err := tm.Subject("f", strings.Repeat("@", 400)); !errors.Is(err, ErrTooLong) {
		t.Errorf("400 bytes that take three each: error %v, want ErrTooLong", err)
	}
	if _, err := Notice("topic", "f", longest+"a"); !errors.Is(err, ErrTooLong) {
		t.Errorf("a notice about a longer topic: error %v, want ErrTooLong", err)
	}
}

func TestNoticesHaveSubjectsOfTheirOwn(t *testing.T) {
	if got, err := Notice("gap", "f", "a.b@c"); got != "feedmux.gap.f.a.b=40c" || err != nil {
		t.Errorf("gap: %q, %v", got, err)
	}
	if got, err := Notice("topic", "f", ""); got != "feedmux.topic.f.=" || err != nil {
		t.Errorf("topic: %q, %v", got, err)
	}
	if got := FeedNotice("f"); got != "feedmux.feed.f" {
		t.Errorf("feed: %q", got)
	}
}

func FuzzSubjectsAreLegalReversibleAndTheirOwn(f *testing.F) {
	topics := []string{"", "=", ".", "..", "a.b", "a..b", ".a", "a.", "a=2Eb", "=2E", "*", ">", "a b", "\x00", "é", "a\r\nb"}
	for i, topic := range topics {
		f.Add(topic, topics[(i+1)%len(topics)], topics[(i+2)%len(topics)], "feed.{feed}.{topic}")
		f.Add(topic, topic+".", topic+"é", "acme.{topic}.raw.{feed}")
		f.Add(topic, topic, "a."+topic, "acme.{topic}.{room}.raw.{type}.{room}")
		f.Add(topic, topic, topic+"*", "acme.{type}")
	}
	f.Fuzz(func(t *testing.T, one, other, value, template string) {
		tm, err := Parse(template, scaiwave...)
		if err != nil {
			return
		}
		values := bytesOf([]string{value, other})
		subject, err := tm.Subject("twitch", one, values...)
		if err != nil {
			return
		}
		pattern, err := tm.Pattern("twitch", one)
		if err != nil || !Meet(pattern, subject) {
			t.Fatalf("%q: topic %q with %q has the subject %q outside of %q, %v", template, one, values, subject, pattern, err)
		}
		checkLegal(t, template, subject)
		back, read, ok := undo(tm, "twitch", subject)
		if !ok || back != one && tm.HasTopic() || read[0] != value && tm.Has(0) || read[1] != other && tm.Has(1) {
			t.Fatalf("%q: topic %q with %q became %q and then %q, %q, %v", template, one, values, subject, back, read, ok)
		}
		second, err := tm.Subject("twitch", other, values...)
		if err == nil && tm.HasTopic() && (second == subject) != (one == other) {
			t.Fatalf("%q: the topics %q and %q share %q", template, one, other, subject)
		}
		if notice, err := Notice("gap", "twitch", one); err != nil || !legal(notice) {
			t.Fatalf("topic %q has notices on %q, %v", one, notice, err)
		}
		aside, err := tm.Aside("twitch", one, values...)
		if err != nil {
			return
		}
		checkLegal(t, template, aside)
		pattern, err = tm.AsidePattern("twitch", one, len(values))
		if err != nil || !Meet(pattern, aside) {
			t.Fatalf("%q: the aside %q with %q has the subject %q outside of %q, %v", template, one, values, aside, pattern, err)
		}
	})
}

// checkLegal holds a subject against what every one must be.
func checkLegal(t *testing.T, template, subject string) {
	t.Helper()
	if !legal(subject) || !server.IsValidPublishSubject(subject) {
		t.Fatalf("%q: the subject %q is not legal", template, subject)
	}
	if strings.HasPrefix(subject, "feedmux.") {
		t.Fatalf("%q: %q is among the notices", template, subject)
	}
}

// undo finds what a subject of a feed was made of; values are those of the variables that are in the template.
func undo(tm Template, feed, subject string) (topic string, values [2]string, ok bool) {
	tokens := strings.Split(subject, ".")
	for i, k := range tm.tokens {
		n := 1
		if k.value == ofTopic && k.literal == "" {
			n = len(tokens) - (len(tm.tokens) - 1 - i)
		}
		if n < 1 || n > len(tokens) {
			return "", values, false
		}
		text := strings.Join(tokens[:n], ".")
		tokens = tokens[n:]
		decode, want := DecodeToken, (*string)(nil)
		switch {
		case k.literal != "":
			if text != k.literal {
				return "", values, false
			}
			continue
		case k.value == ofFeed:
			want = &feed
		case k.value == ofTopic:
			decode = DecodeTopic
		}
		got, err := decode(text)
		if err != nil || want != nil && got != *want {
			return "", values, false
		}
		switch k.value {
		case ofFeed:
		case ofTopic:
			topic = got
		default:
			values[k.value] = got
		}
	}
	return topic, values, len(tokens) == 0
}

func bytesOf(values []string) (list [][]byte) {
	for _, v := range values {
		list = append(list, []byte(v))
	}
	return list
}

func FuzzWhatIsDecodedIsEncodedTheSame(f *testing.F) {
	for _, s := range []string{"a", "=", "a=2Eb", "a.b", "=61", "=2E", "a..b", "=C3=A9", "=ff", "a.="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		if topic, err := DecodeTopic(encoded); err == nil && EncodeTopic(topic) != encoded {
			t.Fatalf("%q is decoded to %q, which is encoded to %q", encoded, topic, EncodeTopic(topic))
		}
		if s, err := DecodeToken(encoded); err == nil && EncodeToken(s) != encoded {
			t.Fatalf("token %q is decoded to %q, which is encoded to %q", encoded, s, EncodeToken(s))
		}
	})
}

// legal is what the NATS documents say of a subject without wildcards, and printable ASCII only.
func legal(subject string) bool {
	if len(subject) > 1024 {
		return false
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return false
		}
		for _, c := range []byte(token) {
			if c <= ' ' || c >= 0x7f || c == '*' || c == '>' {
				return false
			}
		}
	}
	return true
}

func mustParse(t testing.TB, s string, variables ...string) Template {
	t.Helper()
	tm, err := Parse(s, variables...)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return tm
}

func BenchmarkSubject(b *testing.B) {
	tm := mustParse(b, "feed.{feed}.{topic}")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tm.Subject("twitch", "video-playback-by-id.123456789"); err != nil {
			b.Fatal(err)
		}
	}
}
