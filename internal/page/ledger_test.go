package page

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// TestTheReasonOfATopicStandsInItsRow: of one that is to be asked for again as well as of one that was refused for good.
func TestTheReasonOfATopicStandsInItsRow(t *testing.T) {
	s := twitch()
	for i, state := range topic.States() {
		s.Ledger[i].State, s.Ledger[i].Reason = state, fmt.Sprintf("ERR_NO_%d", i)
	}
	body := shows(t, site(s), "/")
	for i, state := range topic.States() {
		row := regexp.MustCompile(fmt.Sprintf(`<tr role="row"><th[^>]*><a[^>]*><bdi>raid\.%d<.*</tr>`, i)).FindString(body)
		if !strings.Contains(row, state.String()) || !strings.Contains(row, fmt.Sprintf("ERR_NO_%d<", i)) {
			t.Errorf("the row of a topic that is %s: %s", state, row)
		}
	}
}

// TestEachLinkWithinThePageLeadsSomewhere: whatever feeds are called.
func TestEachLinkWithinThePageLeadsSomewhere(t *testing.T) {
	var feeds []pool.Status
	for _, name := range []string{"a", "a-hour", "feed-a", "hour-a"} {
		s := twitch()
		s.Feed = name
		s.Slots[0].State, s.Slots[0].LastCause = slots.Parked, cause.Reset // a trouble, which links to its feed
		feeds = append(feeds, s)
	}
	body := shows(t, site(feeds...), "/?feed=a&topic=raid.1")
	for _, m := range regexp.MustCompile(`(?: href="#| aria-labelledby=")([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if !strings.Contains(body, fmt.Sprintf(` id="%s"`, m[1])) {
			t.Errorf("nothing has the id %q, and something leads there", m[1])
		}
	}
	for _, s := range feeds {
		if !strings.Contains(body, fmt.Sprintf(` href="#feed-%s"`, s.Feed)) {
			t.Errorf("no link leads to feed %s, which is in trouble", s.Feed)
		}
	}
}
