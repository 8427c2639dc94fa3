package asks

import (
	"slices"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/limiter"
	"feedmux/shard"
)

// quiet is a Life of an upstream that answers nothing. It remembers what the session was told.
type quiet struct {
	asks     bool // topics are asked for, in a frame for each Change
	anew     bool // and asked for anew when their options change
	told     [][]protocol.Topic
	dropped  []shard.Topic
	listened []shard.Topic
	names    map[shard.Topic]*topic.Topic // as routes know them
}

func (q *quiet) Change(add []*topic.Topic, drop []shard.Topic, out *protocol.Out) {
	q.dropped = append(q.dropped, drop...)
	var told []protocol.Topic
	var asked []shard.Topic
	for _, t := range add {
		told = append(told, protocol.Topic{Name: t.Name, Options: t.Options})
		if q.asks && (q.anew || q.names[t.Name] == nil) {
			asked = append(asked, t.Name)
		}
		q.names[t.Name] = t
	}
	if len(told) > 0 {
		q.told = append(q.told, told)
	}
	if q.asks && len(add) > 0 {
		out.Frames = append(out.Frames, protocol.Frame{Kind: protocol.Text, Payload: []byte("{}"), Asks: asked})
	}
}

func (*quiet) Ping(*protocol.Out) {}
func (*quiet) Forget(shard.Topic) {}

func (q *quiet) Rename(t *topic.Topic) {
	if q.names[t.Name] != nil {
		q.names[t.Name] = t
	}
}

func (q *quiet) Listen(name shard.Topic) { q.listened = append(q.listened, name) }

// quietly are the asks of a new life that were given n topics with options, in batches of two.
func quietly(how protocol.Answers, n int, options any) (*Asks, *quiet, []*topic.Topic) {
	a := New(2, limiter.Window{N: 100, Per: time.Second}, &Culprits{})
	a.Answers = how
	l := &quiet{asks: how != protocol.Unasked, names: make(map[shard.Topic]*topic.Topic)}
	var topics []*topic.Topic
	for i := range n {
		topics = append(topics, &topic.Topic{Name: shard.Topic('a' + rune(i)), Options: options})
	}
	a.Want(topics, l)
	return a, l, topics
}

// confirmedBy are the topics that news say are confirmed, all of them in the same way.
func confirmedBy(t *testing.T, by topic.By, news []topic.News) (names []shard.Topic) {
	t.Helper()
	for _, n := range news {
		if n.State != topic.Confirmed || n.By != by {
			t.Errorf("%s by %q, want confirmed by %q", n.State, n.By, by)
		}
		for _, t := range n.Topics {
			names = append(names, t.Name)
		}
	}
	return names
}

func TestWhatAnUpstreamWithoutAnswersDoesNotObjectToIsAssumed(t *testing.T) {
	begin := time.Now()
	a, l, _ := quietly(protocol.Assumed, 3, nil)
	if n := len(a.writeAll(l, begin)); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
	due := begin.Add(assumeAfter)
	if wake := a.Wake(); !wake.Equal(due) {
		t.Errorf("next look after %v, want %v", wake.Sub(begin), assumeAfter)
	}
	if news := a.Assume(due.Add(-1), due.Add(-1)); news != nil {
		t.Errorf("too soon: %+v", news)
	}
	if news := a.Assume(due, begin); news != nil {
		t.Errorf("though nothing was read since: %+v", news)
	}
	if wake := a.Wake(); !wake.Equal(due.Add(lookAgain)) {
		t.Errorf("next look after %v, want %v", wake.Sub(due), lookAgain)
	}
	if got := confirmedBy(t, topic.ByAssumed, a.Assume(due.Add(lookAgain), begin.Add(1))); !slices.Equal(got, []shard.Topic{"a", "b", "c"}) {
		t.Errorf("confirmed %q", got)
	}
	if wake := a.Wake(); !wake.IsZero() {
		t.Errorf("next look after %v, want none", wake.Sub(begin))
	}
}

// An upstream that answers nothing does say what is wrong, if not with what: nothing is assumed within two seconds of that.
func TestAnErrorPutsOffWhatIsAssumedAFewTimes(t *testing.T) {
	now := time.Now()
	a, l, _ := quietly(protocol.Assumed, 1, nil)
	a.writeAll(l, now)
	for range objections {
		now = now.Add(assumeAfter - 1)
		a.Objected(now)
		if wake := a.Wake(); !wake.Equal(now.Add(assumeAfter)) {
			t.Fatalf("looked at again %v after the error", wake.Sub(now))
		}
		if news := a.Assume(now.Add(assumeAfter-1), now); news != nil {
			t.Fatalf("assumed though it objected: %+v", news)
		}
	}
	now = now.Add(assumeAfter - 1)
	a.Objected(now) // it goes on and on: of something else
	if got := confirmedBy(t, topic.ByAssumed, a.Assume(now.Add(1), now)); len(got) != 1 {
		t.Errorf("confirmed: %q", got)
	}
	a.Objected(now)
	if !a.IsConfirmed("a") || !a.Wake().IsZero() {
		t.Error("an error undid what was confirmed")
	}
}

// A topic with options has the subject that these give it: until the session is told of others, the old one is right.
func TestARouteLeadsToTheOldFormUntilTheSessionIsToldOfTheNewOne(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 1, 1)
	l.anew = true
	a.writeAll(l, now)
	forms := formsOf(topics, 2)
	a.Freeze(true)
	a.Want(forms, l)
	again := []*topic.Topic{forms[0].Form(2, "elsewhere")}
	a.Want(again, l)
	if a.writeAll(l, now); l.names["a"] != topics[0] {
		t.Error("ticks of the old instrument go to the new one's subject")
	}
	a.Freeze(false)
	if a.writeAll(l, now); l.names["a"] != again[0] {
		t.Error("ticks of the new instrument go to the old one's subject")
	}
	renamed := []*topic.Topic{{Name: "a", Options: 2}}
	if a.Want(renamed, l); l.names["a"] != renamed[0] {
		t.Error("a topic that was removed and wanted again is not known")
	}
}

func TestAnAskThatNobodyAnswersIsNotRepeatedWhereNobodyEverDoes(t *testing.T) {
	now := time.Now()
	a, l, _ := quietly(protocol.Assumed, 1, nil)
	a.writeAll(l, now)
	for range 10 {
		now = now.Add(answerWithin)
		if n := len(a.writeAll(l, now)); n != 0 || a.Unanswered(now) {
			t.Fatalf("%d messages, unanswered: %v", n, a.Unanswered(now))
		}
	}
}

func TestAnEventTellsMoreThanAnAssumption(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 2, nil)
	a.writeAll(l, now)
	if got := confirmedBy(t, topic.ByEvent, a.ByEvent(topics[:1], now)); !slices.Equal(got, []shard.Topic{"a"}) {
		t.Errorf("confirmed %q by an event", got)
	}
	later := now.Add(assumeAfter)
	if got := confirmedBy(t, topic.ByAssumed, a.Assume(later, later)); !slices.Equal(got, []shard.Topic{"b"}) {
		t.Errorf("assumed %q", got)
	}
	if got := confirmedBy(t, topic.ByEvent, a.ByEvent(topics, later)); !slices.Equal(got, []shard.Topic{"b"}) {
		t.Errorf("known to be confirmed now: %q", got)
	}
}

func TestWhatWasAssumedMayStillBeRefused(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 1, nil)
	a.writeAll(l, now)
	a.Assume(now.Add(assumeAfter), now.Add(1))
	if news := a.Settle(verdictOn(topics[0], protocol.Refused), l, now); len(news) != 1 || news[0].State != topic.Refused {
		t.Errorf("%+v", news)
	}
}

func TestWhereNothingIsAskedTopicsAreConfirmedOnceTheLifeListens(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Unasked, 3, nil)
	if n := len(a.writeAll(l, now)); n != 0 || len(l.told) != 2 {
		t.Fatalf("%d messages; the session was told %d times, want 2", n, len(l.told))
	}
	if news := a.SettledAtOnce(l, now); news != nil {
		t.Errorf("confirmed before the life listens: %+v", news)
	}
	if wake := a.Wake(); !wake.IsZero() {
		t.Errorf("a look after %v, want none", wake.Sub(now))
	}
	filled := topic.Filled{To: now}
	news := a.Listening(now, filled)
	if got := confirmedBy(t, topic.ByAck, news); len(got) != 3 || news[0].Filled != filled {
		t.Errorf("confirmed %q, filled %+v", got, news[0].Filled)
	}

	a.Want(append(topics[1:], &topic.Topic{Name: "new"}), l)
	a.writeAll(l, now)
	if got := confirmedBy(t, topic.ByAck, a.SettledAtOnce(l, now)); !slices.Equal(got, []shard.Topic{"new"}) || !slices.Equal(l.dropped, []shard.Topic{"a"}) {
		t.Errorf("confirmed %q, dropped %q", got, l.dropped)
	}
	if a.Unanswered(now.Add(time.Hour)) || len(a.writeAll(l, now.Add(time.Hour))) != 0 || len(l.told) != 3 {
		t.Errorf("the session was told %d times, want 3", len(l.told))
	}
}

func TestAFilterThatTheSessionRefusesIsNotConfirmed(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Unasked, 2, nil)
	a.Listening(now, topic.Filled{})
	a.writeAll(l, now)
	a.atOnce = []protocol.Settlement{verdictOn(topics[0], protocol.Refused)} // as if said in Change
	news := a.SettledAtOnce(l, now)
	if len(news) != 2 || news[0].State != topic.Refused || !a.IsConfirmed("b") || a.IsConfirmed("a") {
		t.Errorf("%+v", news)
	}
}

// formsOf are the topics with other options.
func formsOf(topics []*topic.Topic, options any) (forms []*topic.Topic) {
	for _, t := range topics {
		forms = append(forms, t.Form(options, t.Subject))
	}
	return forms
}

func TestTopicsWithOtherOptionsGoToTheSessionAgainAndStayConfirmed(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 3, "quote")
	a.writeAll(l, now)
	now = now.Add(assumeAfter)
	a.Assume(now, now)
	l.told = nil

	forms := formsOf(topics, "full")
	known := a.Want(append(forms[:2:2], topics[2]), l)
	if got := confirmedBy(t, topic.ByAssumed, known); len(got) != 3 || l.names["a"] != topics[0] {
		t.Errorf("known: %q; the route of one that the session was not told of yet leads to its new form: %v", got, l.names["a"] == forms[0])
	}
	for _, f := range a.writeAll(l, now) {
		if news := a.Written(f, now); news != nil {
			t.Errorf("asked for anew: %+v", news)
		}
	}
	want := []protocol.Topic{{Name: "a", Options: "full"}, {Name: "b", Options: "full"}}
	if len(l.told) != 1 || !slices.Equal(l.told[0], want) || l.names["a"] != forms[0] {
		t.Errorf("the session was told %v, want %v once", l.told, want)
	}
	a.Want(formsOf(topics, "full"), l)
	a.writeAll(l, now)
	if len(l.told) != 2 || len(l.told[1]) != 1 || l.told[1][0].Name != "c" {
		t.Errorf("the session was told %v", l.told)
	}
	if news := a.ByEvent(topics[:1], now); len(news) != 1 || news[0].Topics[0].Options != "full" {
		t.Errorf("an event of an older form is the topic's, too: %+v", news)
	}
}

func TestManyTopicsWithOtherOptionsGoInBatchesAfterThoseThatAreNew(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 5, "quote")
	a.writeAll(l, now)
	l.told = nil
	a.Want(append(formsOf(topics, "full"), &topic.Topic{Name: "new"}), l)
	a.writeAll(l, now)
	var sizes []int
	for _, told := range l.told {
		sizes = append(sizes, len(told))
	}
	if !slices.Equal(sizes, []int{1, 2, 2, 1}) || l.told[0][0].Name != "new" {
		t.Errorf("the session was told %v", l.told)
	}
}

func TestOptionsThatTheSessionWasNotToldOfYetAreNoChange(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 1, "quote")
	forms := formsOf(topics, "full")
	a.Want(forms, l)
	a.writeAll(l, now)
	if len(l.told) != 1 || l.told[0][0].Options != "full" {
		t.Errorf("the session was told %v", l.told)
	}
}

func TestATopicThatMustBeAskedForAnewIsNotConfirmedMeanwhile(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 1, 1)
	l.anew = true
	a.writeAll(l, now)
	now = now.Add(assumeAfter)
	a.Assume(now, now)
	forms := formsOf(topics, 2)
	a.Want(forms, l)
	now = now.Add(time.Minute)
	f, sent := a.Next(l, now)
	if f == nil || !slices.Equal(l.listened, []shard.Topic{"a"}) {
		t.Fatalf("frame %+v; the next event counts as the first of %q", f, l.listened)
	}
	sent()
	if news := a.Written(f, now); len(news) != 1 || news[0].State != topic.Asked || news[0].Topics[0] != forms[0] {
		t.Errorf("%+v", news)
	}
	if a.IsConfirmed("a") {
		t.Error("still confirmed")
	}
	if got := confirmedBy(t, topic.ByAssumed, a.Assume(now.Add(assumeAfter), now.Add(1))); len(got) != 1 {
		t.Errorf("confirmed again: %q", got)
	}
}

func TestARefusalWithOldOptionsDoesNotStand(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Answered, 1, 1)
	a.writeAll(l, now)
	a.Want(formsOf(topics, 2), l)
	if news := a.Settle(verdictOn(topics[0], protocol.Refused), l, now); len(news) != 1 || news[0].State != topic.Assigned {
		t.Errorf("%+v", news)
	}
	if a.writeAll(l, now); len(l.told) != 2 || l.told[1][0].Options != 2 {
		t.Errorf("the session was told %v", l.told)
	}
}

func TestNothingIsToldOfOptionsWhileNothingIsAsked(t *testing.T) {
	now := time.Now()
	a, l, topics := quietly(protocol.Assumed, 1, 1)
	a.writeAll(l, now)
	a.Want(formsOf(topics, 2), l)
	a.Freeze(true)
	if a.writeAll(l, now); len(l.told) != 1 {
		t.Errorf("the session was told %v", l.told)
	}
	a.Freeze(false)
	if a.writeAll(l, now); len(l.told) != 2 {
		t.Errorf("after that the session was told %v", l.told)
	}
}

func TestASuspectIsTheSameInAllOfItsForms(t *testing.T) {
	var c Culprits
	suspect := &topic.Topic{Name: "a", Options: 1}
	c.lifeEnded([]*topic.Topic{suspect}, 1, true)
	c.lifeEnded([]*topic.Topic{suspect}, 1, true)
	form := suspect.Form(2, "")
	if c.mostWith(form) != 1 {
		t.Fatalf("a message with it may hold %d", c.mostWith(form))
	}
	if got := c.lifeEnded([]*topic.Topic{form}, 1, true); got != form {
		t.Errorf("guilty is %v", got)
	}
}
