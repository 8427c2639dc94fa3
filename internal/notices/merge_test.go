package notices

import (
	"testing"
	"time"

	"feedmux/internal/slots"
	"feedmux/pool"
)

func TestMergedGapsSayUpToWhenAllOfThemWasFilled(t *testing.T) {
	const all, part, none = pool.AllFilled, pool.PartlyFilled, pool.NotFilled
	for _, row := range []struct {
		a    string // 10 to 20; a part: up to 15
		b    string // 30 to 40; a part: up to 35
		want string
		to   int
	}{
		{all, all, all, 0},
		{all, part, part, 35},
		{all, none, part, 30},
		{part, all, part, 15},
		{part, none, part, 15},
		{none, all, none, 0},
		{none, none, none, 0},
	} {
		t.Run(row.a+" and "+row.b, func(t *testing.T) {
			gap := func(id string, from int, filled string) *pool.GapNotice {
				n := closed(id, from, from+10)
				if n.Filled = filled; filled == part {
					n.FilledTo = at(from + 5)
				}
				return n
			}
			for order := range 2 {
				q := New()
				first, second := gap("a", 10, row.a), gap("b", 30, row.b)
				if order == 1 {
					first, second = second, first
				}
				q.Add("t", first)
				q.Add("t", second)
				n := q.Take().Body.(*pool.GapNotice)
				var to time.Time
				if row.to > 0 {
					to = at(row.to)
				}
				if n.Filled != row.want || !n.FilledTo.Equal(to) || !n.From.Equal(at(10)) || !n.To.Equal(at(40)) {
					t.Errorf("order %d: filled %s to %v, %v-%v", order, n.Filled, n.FilledTo, n.From, n.To)
				}
			}
		})
	}
}

func TestAGapWhoseBeginningWaitsKeepsWhatWasFilledOfIt(t *testing.T) {
	q := New()
	begun := open("a", 10)
	begun.Filled = pool.NotFilled
	q.Add("t", begun)
	over := closed("a", 10, 20)
	over.Filled = pool.AllFilled
	q.Add("t", over)
	if n := q.Take().Body.(*pool.GapNotice); n.Phase != pool.GapClosed || n.Filled != pool.AllFilled {
		t.Errorf("%+v", n)
	}
}

func TestABeginningThatIsPutBackTakesNothingFromItsEnd(t *testing.T) {
	q := New()
	begun, over := open("a", 10), closed("a", 10, 20)
	begun.Filled, over.Filled = pool.NotFilled, pool.AllFilled
	q.Add("t", begun)
	taken := q.Take()
	q.Add("t", over)
	q.Untake(true, taken)
	if n := q.Take().Body.(*pool.GapNotice); n.Phase != pool.GapClosed || n.Filled != pool.AllFilled {
		t.Errorf("%+v", n)
	}
}

func TestOfTheUpstreamsWordsTheNewestOnEachSlotWait(t *testing.T) {
	q := New()
	say := func(text string, withheld int) {
		q.Add("f", &pool.UpstreamNotice{Text: text, Withheld: withheld})
	}
	q.Add("f", &pool.FeedNotice{Slot: 0, State: slots.Live})
	say("a", 0)
	say("b", 3)
	say("c", 1)
	q.Add("f", &pool.UpstreamNotice{Slot: 1, Text: "d"})
	if n := q.Take(); n.Body.(*pool.FeedNotice).State != slots.Live {
		t.Errorf("%+v", n.Body)
	}
	if n := q.Take().Body.(*pool.UpstreamNotice); n.Text != "c" || n.Withheld != 6 {
		t.Errorf("%+v, want c, and six withheld", n)
	}
	if n := q.Take().Body.(*pool.UpstreamNotice); n.Text != "d" || n.Withheld != 0 {
		t.Errorf("%+v", n)
	}
	if !q.Empty() {
		t.Error("more waits")
	}
}

func TestANoteOfATopicOutlivesItsStates(t *testing.T) {
	q := New()
	last := func() string { return q.Take().Body.(*pool.TopicNotice).Reason }
	note := func(text string) { q.Add("t", &pool.TopicNotice{State: "unplaced", Reason: text, Note: text}) }
	note("its token changed")
	q.Add("t", &pool.TopicNotice{State: "unplaced", Reason: "no slot has room"})
	q.Add("t", &pool.TopicNotice{State: "confirmed"})
	if got := last(); got != "its token changed" {
		t.Errorf("%q", got)
	}
	note("its token changed")
	q.Add("t", &pool.TopicNotice{State: "refused", Reason: "no"})
	if got := last(); got != "no; its token changed" {
		t.Errorf("%q", got)
	}
	note("one")
	note("two")
	if got := last(); got != "two" {
		t.Errorf("%q", got)
	}
}
