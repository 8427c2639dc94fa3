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
		if topic, ok := tm.Topic("my-feed", c.subject); topic != c.topic || !ok {
			t.Errorf("%s: Topic(%q) = %q, %v, want %q", c.template, c.subject, topic, ok, c.topic)
		}
	}
	if got := mustParse(t, "acme.{feed}.{topic}").Root(); got != "acme" {
		t.Errorf("Root is %q, want acme", got)
	}
}

func TestSubjectsOfOthersHaveNoTopic(t *testing.T) {
	tm := mustParse(t, "feed.{feed}.{topic}.raw")
	for _, s := range []string{
		"feed.other.a.raw", "feed.mine.a", "feed.mine.raw", "feed.mine..raw", "feed.mine.=61.raw", "feed", "",
		"feed.mine." + strings.Repeat("a", MaxLength) + ".raw",
	} {
		if topic, ok := tm.Topic("mine", s); ok {
			t.Errorf("Topic(%.40q) = %.40q, want none", s, topic)
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
		f.Add(topic, topics[(i+1)%len(topics)], "feed.{feed}.{topic}")
		f.Add(topic, topic+".", "acme.{topic}.raw.{feed}")
	}
	f.Fuzz(func(t *testing.T, one, other, template string) {
		tm, err := Parse(template)
		if err != nil {
			return
		}
		subject, err := tm.Subject("twitch", one)
		if err != nil {
			return
		}
		if !legal(subject) || !server.IsValidPublishSubject(subject) {
			t.Fatalf("%q: topic %q has the subject %q, which is not legal", template, one, subject)
		}
		if strings.HasPrefix(subject, "feedmux.") {
			t.Fatalf("%q: topic %q is among the notices: %q", template, one, subject)
		}
		if back, ok := tm.Topic("twitch", subject); !ok || back != one {
			t.Fatalf("%q: topic %q became %q and then %q, %v", template, one, subject, back, ok)
		}
		if second, err := tm.Subject("twitch", other); err == nil && (second == subject) != (one == other) {
			t.Fatalf("%q: the topics %q and %q share %q", template, one, other, subject)
		}
		if notice, err := Notice("gap", "twitch", one); err != nil || !legal(notice) {
			t.Fatalf("topic %q has notices on %q, %v", one, notice, err)
		}
	})
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

func mustParse(t testing.TB, s string) Template {
	t.Helper()
	tm, err := Parse(s)
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
