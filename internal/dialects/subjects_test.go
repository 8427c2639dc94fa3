package dialects

import (
	"fmt"
	"testing"

	"feedmux/internal/config"
)

func TestASubjectThatCannotBeUsedIsToldWithItsKey(t *testing.T) {
	const letters = ": a token is letters, digits, '_' and '-'"
	for _, c := range []struct{ subject, want string }{
		{"", `"" must not be empty`},
		{"feed.{feed}", "{topic} is needed exactly once"},
		{"feed.{topic}.{topic}", "{topic} is needed exactly once"},
		{"{topic}", "the first token is a word, not a variable"},
		{"{feed}.{topic}", "the first token is a word, not a variable"},
		{"feedmux.{topic}", `subjects that begin with "feedmux" are for notices`},
		{"$JS.{topic}", "subjects that begin with '$' belong to the NATS server"},
		{"_INBOX.{topic}", "subjects that begin with '_' belong to NATS clients"},
		{"feed..{topic}", "a token is empty: every '.' needs something on both sides"},
		{".{topic}", "a token is empty: every '.' needs something on both sides"},
		{"feed.{topic}.", "a token is empty: every '.' needs something on both sides"},
		{"feed.*.{topic}", `"*"` + letters},
		{"feed.{topic}.>", `">"` + letters},
		{"fe ed.{topic}", `"fe ed"` + letters},
		{"fée.{topic}", `"fée"` + letters},
		{"feed.x{topic}.{topic}", `"x{topic}": a variable fills a whole token`},
		{"feed.{topic", `"{topic": a variable fills a whole token`},
		{"feed.{channel}.{topic}", "unknown variable {channel}: there are {feed} and {topic}"},
		{"feed.{}.{topic}", "unknown variable {}: there are {feed} and {topic}"},
	} {
		text := fmt.Sprintf(`[[feed]]
name = "a"
protocol = "twitch-pubsub"
topics = ["raid.1"]
subject = %q
`, c.subject)
		_, err := config.Parse("c.toml", []byte(text), LoadOptions())
		if want := "c.toml:5: feed[0].subject: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.subject, err, want)
		}
	}
}
