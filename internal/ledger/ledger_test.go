package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// book is a Sink that keeps everything.
type book struct {
	topics  []*topic.Topic
	notices []Notice
}

func (b *book) Topic(t *topic.Topic)      { b.topics = append(b.topics, t) }
func (b *book) Notice(_ string, n Notice) { b.notices = append(b.notices, n) }

// said are the notices of one kind since the last look.
func said[N Notice](b *book) (list []N) {
	for _, n := range b.notices {
		if n, ok := n.(N); ok {
			list = append(list, n)
		}
	}
	b.notices = nil
	return list
}

// bad are the options with which nothing can be asked for.
const bad = "bad"

// keep makes a ledger whose subjects have the options in them.
func keep() (*Ledger, *book) {
	b := &book{}
	return New(Options{
		Feed: "f", Sink: b,
		Check: func(w shard.Wanted) error {
			if w.Options == bad {
				return errors.New("no such mode")
			}
			return nil
		},
		Subject: func(w shard.Wanted) (string, error) {
			return fmt.Sprintf("feed.%s.%v", w.Topic, w.Options), nil
		},
		NoticeSubject: func(NoticeKind, shard.Topic) string { return "n" },
		Note: func(old, new any) string {
			if new == "loud" {
				return fmt.Sprintf("%v became loud", old)
			}
			return ""
		},
	}), b
}

func want(options any) []shard.Wanted { return []shard.Wanted{{Topic: "a", Options: options}} }

func TestATopicWithOtherOptionsKeepsWhatIsKnownOfIt(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want("quote"), now)
	r := l.Record("a")
	l.Place(r, 2, now)
	l.Confirm(r, topic.ByAck, topic.Filled{}, now)
	before := r.Topic
	before.Count(now)
	b.topics, b.notices = nil, nil

	l.Want(want("full"), now.Add(time.Minute))
	switch {
	case l.Record("a") != r || r.Topic == before || !r.Is(before):
		t.Error("it is no other form of the topic")
	case r.Options != "full" || r.Subject != "feed.a.full" || before.Subject != "feed.a.quote":
		t.Errorf("options %v, subject %s; before %s", r.Options, r.Subject, before.Subject)
	case r.State != topic.Confirmed || !r.Since.Equal(now) || r.Slot != 2 || r.Events() != 1 || !r.CarriedBy(2):
		t.Errorf("%+v", l.Lines()[0])
	case len(b.topics) != 1 || b.topics[0] != r.Topic:
		t.Errorf("the sink was told of %v", b.topics)
	case len(b.notices) > 0:
		t.Errorf("announced: %+v", b.notices)
	}

	form := r.Topic
	if l.Want(want("full"), now); r.Topic != form {
		t.Error("the same options made another form")
	}
}

func TestOptionsThatCannotBeAskedForRefuseATopicUntilItHasOthers(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want("quote"), now)
	r := l.Record("a")
	l.Place(r, 0, now)
	l.Confirm(r, topic.ByAck, topic.Filled{}, now)
	b.topics, b.notices = nil, nil

	l.Want(want(bad), now.Add(time.Second))
	if n := said[*TopicNotice](b); r.State != topic.Refused || r.Reason != "no such mode" || len(n) != 1 || n[0].State != "refused" || n[0].Subject != "feed.a.quote" {
		t.Errorf("%s: %q; announced: %+v", r.State, r.Reason, n)
	}
	if len(b.topics) != 0 || r.CarriedBy(0) {
		t.Errorf("the sink was told of %d", len(b.topics))
	}
	if any, _ := l.Pardon(now.Add(2 * RefusedFor)); any || len(l.Placeable()) != 0 {
		t.Error("it is asked for again, though it cannot be")
	}
	l.Want(want("full"), now.Add(2*time.Second))
	if r.State != topic.Unplaced || r.Reason != "" || len(l.Placeable()) != 1 || len(b.topics) != 1 {
		t.Errorf("%s: %q; the sink was told of %d", r.State, r.Reason, len(b.topics))
	}
}

// That a topic cannot be asked for any more is nobody's wish: a file said so, perhaps by mistake. Only who removes a topic does
// not want to listen.
func TestAConfirmedTopicThatCannotBeAskedForAnyMoreIsInAGap(t *testing.T) {
	for name, dark := range map[string]bool{"it was confirmed": false, "it was dark already": true} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			l, b := keep()
			l.Want(want("quote"), now)
			r := l.Record("a")
			l.Place(r, 0, now)
			l.Confirm(r, topic.ByAck, topic.Filled{}, now)
			why := cause.Moved
			if dark {
				why = cause.Reset
				l.LifeEnded(slots.LifeEnded{LastFrame: now, Cause: why}, now)
			}
			l.Want(want(bad), now)
			l.Announce(now.Add(AnnounceAfter))
			open := said[*GapNotice](b)
			if r.dark.IsZero() || l.Dark() != 0 || len(open) != 1 || open[0].Phase != GapOpen || open[0].Cause != why || !open[0].From.Equal(now) {
				t.Fatalf("dark since %v, %d with a place; announced: %+v", r.dark, l.Dark(), open)
			}
			l.Want(want("full"), now.Add(time.Minute))
			l.Place(r, 0, now.Add(time.Minute))
			l.Confirm(r, topic.ByAck, topic.Filled{}, now.Add(time.Minute))
			closed := said[*GapNotice](b)
			if !r.dark.IsZero() || len(closed) != 1 || closed[0].ID != open[0].ID || closed[0].Phase != GapClosed || closed[0].To.Sub(now) != time.Minute {
				t.Errorf("dark since %v, announced: %+v", r.dark, closed)
			}
			l.Want(want(bad), now.Add(2*time.Minute))
			l.Want(nil, now.Add(3*time.Minute))
			if n := said[*GapNotice](b); len(n) != 1 || n[0].Phase != GapClosed || n[0].To.Sub(n[0].From) != time.Minute {
				t.Errorf("removed: announced: %+v", n)
			}
		})
	}
	l, b := keep()
	l.Want(want("quote"), time.Now())
	l.Want(want(bad), time.Now())
	if n := said[*GapNotice](b); len(n) > 0 {
		t.Errorf("nobody listened yet: %+v", n)
	}
}

func TestARefusalByTheUpstreamDoesNotOutliveOptions(t *testing.T) {
	now := time.Now()
	l, _ := keep()
	l.Want(want("quote"), now)
	r := l.Record("a")
	l.Place(r, 0, now)
	l.RefuseForNow(r, "no", now)
	l.Want(want(bad), now.Add(time.Second))
	if l.PardonAll(now.Add(2 * time.Second)); r.State != topic.Refused {
		t.Error("what cannot be asked for was pardoned with the refusal before")
	}
	l.Want(want("full"), now.Add(3*time.Second))
	if r.State != topic.Unplaced {
		t.Errorf("%s: %q", r.State, r.Reason)
	}
}

func TestWhatThereIsToSayOfOptionsIsANotice(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want("loud"), now)
	if n := said[*TopicNotice](b); len(n) != 1 || n[0].Reason != "<nil> became loud" || n[0].State != "unplaced" || n[0].Note != n[0].Reason {
		t.Errorf("first: %+v", n)
	}
	r := l.Record("a")
	l.Place(r, 0, now)
	l.Want(want("quote"), now)
	l.Confirm(r, topic.ByAssumed, topic.Filled{}, now)
	said[*TopicNotice](b)
	l.Want(want("loud"), now)
	if n := said[*TopicNotice](b); len(n) != 1 || n[0].Reason != "quote became loud" || n[0].State != "confirmed" || n[0].By != topic.ByAssumed || n[0].Subject != "feed.a.loud" {
		t.Errorf("then: %+v", n)
	}
	if r.Reason != "" {
		t.Errorf("it is the reason of its state: %q", r.Reason)
	}
}

func TestATopicThatIsListedTwiceHasTheFirstOptions(t *testing.T) {
	l, b := keep()
	l.Want(append(want("quote"), shard.Wanted{Topic: "a", Options: "full", Priority: 1}), time.Now())
	if r := l.Record("a"); r.Options != "quote" || r.Priority != 1 || len(b.topics) != 1 {
		t.Errorf("options %v, priority %d, the sink was told of %d", r.Options, r.Priority, len(b.topics))
	}
}

func TestATopicThatIsAskedForAnewIsDark(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want("quote"), now)
	r := l.Record("a")
	l.Place(r, 0, now)
	l.Confirm(r, topic.ByAssumed, topic.Filled{}, now)
	asked := now.Add(time.Minute)
	if l.Asked(r, asked); r.State != topic.Asked || r.By != "" || l.Dark() != 1 {
		t.Errorf("%s by %q, %d are dark", r.State, r.By, l.Dark())
	}
	l.Confirm(r, topic.ByEvent, topic.Filled{}, asked.Add(time.Second))
	n := said[*GapNotice](b)
	if len(n) != 1 || n[0].Cause != cause.Moved || !n[0].From.Equal(asked) || n[0].To.Sub(n[0].From) != time.Second || l.Dark() != 0 {
		t.Errorf("%+v", n)
	}
}

func TestAnEventMakesAnAssumptionKnowledge(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want(nil), now)
	r := l.Record("a")
	l.Place(r, 0, now)
	l.Confirm(r, topic.ByAssumed, topic.Filled{}, now)
	said[*TopicNotice](b)
	l.Confirm(r, topic.ByEvent, topic.Filled{}, now.Add(time.Second))
	if r.By != topic.ByEvent || !r.Since.Equal(now) || len(b.notices) != 0 {
		t.Errorf("by %q since %v, announced: %v", r.By, r.Since.Sub(now), b.notices)
	}
	l.Confirm(r, topic.ByAck, topic.Filled{}, now.Add(time.Second))
	if r.By != topic.ByEvent {
		t.Errorf("by %q", r.By)
	}
}

func TestAClosedGapSaysWhatOfItWasFilled(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		name   string
		filled topic.Filled
		want   string
		to     time.Time
	}{
		{"nothing is kept", topic.Filled{}, NotFilled, time.Time{}},
		{"all", topic.Filled{All: true}, AllFilled, time.Time{}},
		{"a part", topic.Filled{To: now.Add(30 * time.Second)}, PartlyFilled, now.Add(30 * time.Second)},
		{"no part of this gap", topic.Filled{To: now}, NotFilled, time.Time{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, b := keep()
			l.Want(want(nil), now)
			r := l.Record("a")
			l.Place(r, 1, now)
			l.Confirm(r, topic.ByAck, topic.Filled{}, now)
			l.LifeEnded(slots.LifeEnded{Slot: 1, LastFrame: now, Cause: cause.Reset}, now)
			l.Announce(now.Add(AnnounceAfter))
			l.Confirm(r, topic.ByAck, row.filled, now.Add(time.Minute))
			n := said[*GapNotice](b)
			if len(n) != 2 || n[0].Filled != NotFilled || n[1].Phase != GapClosed || n[1].Filled != row.want || !n[1].FilledTo.Equal(row.to) {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestAGapThatIsOverIsAnnouncedOfEachTopicThatSomebodyListenedTo(t *testing.T) {
	now := time.Now()
	l, b := keep()
	names := []shard.Topic{"heard", "dark", "new", "elsewhere", "unplaced"}
	var topics []shard.Wanted
	for _, name := range names {
		topics = append(topics, shard.Wanted{Topic: name})
	}
	l.Want(topics, now)
	for i, name := range names[:4] {
		r := l.Record(name)
		l.Place(r, shard.Slot(i/3), now)
		if name != "new" {
			l.Confirm(r, topic.ByAck, topic.Filled{}, now)
		}
	}
	l.LifeEnded(slots.LifeEnded{Slot: 0, LastFrame: now, Cause: cause.Reset}, now)
	l.Confirm(l.Record("heard"), topic.ByAck, topic.Filled{}, now)
	said[*GapNotice](b)
	_, closed := l.Gaps()

	l.Gap(slots.GapNews{
		Slot: 0, From: now.Add(-time.Minute), To: now.Add(-time.Second), Cause: cause.NATSBroke,
		At: slots.AtDelivery, Filled: topic.Filled{All: true},
	})
	var told []shard.Topic
	for _, n := range said[*GapNotice](b) {
		told = append(told, n.Topic)
		if n.Phase != GapClosed || n.At != AtDelivery || n.Filled != AllFilled || n.Cause != cause.NATSBroke || n.To.Sub(n.From) != 59*time.Second {
			t.Errorf("%+v", n)
		}
	}
	if !slices.Equal(told, names[:2]) {
		t.Errorf("announced of %q, want %q", told, names[:2])
	}
	opened, now2 := l.Gaps()
	if opened[cause.NATSBroke] != 2 || now2 != closed {
		t.Errorf("counted %v; the topics were dark for another %v", opened, now2-closed)
	}
	l.Gap(slots.GapNews{Slot: 0, From: now.Add(-time.Minute), To: now, Cause: cause.Rebuilt, At: slots.AtUpstream})
	if _, dark := l.Gaps(); dark != closed+2*time.Minute {
		t.Errorf("two topics were dark for %v, want two minutes", dark-closed)
	}
}

func TestALifeThatEndsIsTheEndForAllFormsOfATopic(t *testing.T) {
	now := time.Now()
	l, b := keep()
	l.Want(want("quote"), now)
	r := l.Record("a")
	old := r.Topic
	l.Place(r, 0, now)
	l.Confirm(r, topic.ByAck, topic.Filled{}, now)
	l.Want(want("full"), now)
	b.notices = nil
	l.LifeEnded(slots.LifeEnded{
		Slot: 0, LastFrame: now, Cause: cause.Reset, Heir: map[*topic.Topic]time.Time{old.Self(): now.Add(time.Second)},
	}, now)
	if n := said[*GapNotice](b); r.State != topic.Confirmed || len(n) != 1 || n[0].Subject != "feed.a.full" {
		t.Errorf("an heir has it: %s, %+v", r.State, n)
	}
	l.LifeEnded(slots.LifeEnded{
		Slot: 0, LastFrame: now, Cause: cause.Reset, Replaced: true, Alone: map[*topic.Topic]bool{old.Self(): true},
	}, now)
	if r.State != topic.Assigned {
		t.Errorf("only the life that ended had it: %s", r.State)
	}
}

func TestALineNamesTheGapThatGoesOnOrElseTheLast(t *testing.T) {
	l, _ := keep()
	now := time.Now()
	l.Want([]shard.Wanted{{Topic: "a"}}, now)
	r := l.Record("a")
	l.Place(r, 0, now)
	l.Confirm(r, topic.ByAck, topic.Filled{}, now)
	if g := r.Line().LastGap; g != nil {
		t.Errorf("a gap before any: %+v", g)
	}
	dark := now.Add(time.Minute)
	l.LifeEnded(slots.LifeEnded{LastFrame: dark, Cause: cause.Reset}, dark)
	if g := r.Line().LastGap; g == nil || *g != (GapBrief{From: dark, Cause: cause.Reset}) {
		t.Errorf("while it goes on: %+v", g)
	}
	back := dark.Add(time.Minute)
	l.Confirm(r, topic.ByAck, topic.Filled{All: true}, back)
	if g := r.Line().LastGap; g == nil || *g != (GapBrief{From: dark, To: back, Cause: cause.Reset, Filled: AllFilled}) {
		t.Errorf("when it was over: %+v", g)
	}
	lost := slots.GapNews{From: back, To: back.Add(time.Second), Cause: cause.NATSBroke, At: AtDelivery}
	l.Gap(lost)
	if g := r.Line().LastGap; g == nil || *g != (GapBrief{From: lost.From, To: lost.To, Cause: lost.Cause, Filled: NotFilled}) {
		t.Errorf("the next one: %+v", g)
	}
	if n := r.Line().Gaps; n != 2 {
		t.Errorf("%d gaps", n)
	}
}
