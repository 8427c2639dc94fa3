package wants

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/additions"
	"feedmux/internal/config"
)

// looks counts how often a configuration is looked at.
type looks struct{ protocol, between int }

// rules have a protocol that refuses topics with an x in them, the second of a pair that has one letter, and, between feeds,
// topics that another one has too.
func (l *looks) rules() Rules {
	check := func(f *config.Feed, report config.Report) {
		l.protocol++
		first := make(map[byte]bool)
		for i, t := range f.Topics {
			if strings.Contains(t.Name, "x") {
				report(fmt.Sprintf("topics[%d]", i), "has an x")
			}
			if letter := t.Name[0]; letter != 't' && first[letter] {
				report(fmt.Sprintf("topics[%d].mode", i), "is the second with %c", letter)
			}
			first[t.Name[0]] = true
		}
	}
	return Rules{
		Protocols: map[string]config.Protocol{"p": {
			URL: "ws://h", Connections: 10, TopicsPerConnection: 50, SubscribeBatch: 50, TopicKeys: []string{"mode"}, Check: check,
			Account: func(f *config.Feed) string { return f.Name },
		}},
		Check: func(c *config.Config, report config.Report) {
			l.between++
			of := make(map[string]string)
			for _, f := range c.Feeds {
				for i, t := range f.Topics {
					if other := of[t.Name]; other != "" {
						report(fmt.Sprintf("%s.topics[%d]", f.Key, i), "is feed %s's", other)
						continue
					}
					of[t.Name] = f.Name
				}
			}
		},
	}
}

func (l *looks) load(t *testing.T, more string) *config.Config {
	t.Helper()
	text := "[[feed]]\nname = \"a\"\nprotocol = \"p\"\ntopics = [\"t1\", { topic = \"t2\", mode = \"full\" }]\n" + more +
		"\n[[feed]]\nname = \"b\"\nprotocol = \"p\"\ntopics = [\"t100\", \"t101\"]\n"
	c, err := config.Parse("config.toml", []byte(text), config.LoadOptions(l.rules()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func added(names ...string) (list additions.List) {
	for _, name := range names {
		list = append(list, config.Topic{Name: name, Place: config.RunTime()})
	}
	return list
}

func namesOf(topics []config.Topic) (names []string) {
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names
}

// A start, a reload, and each change do this with the gate shut.
func TestThousandsOfTopicsThatCannotBeWantedCostAFewLooks(t *testing.T) {
	var many, bad, taken additions.List
	for i := range 10_000 {
		many = append(many, added(fmt.Sprint("t2", i))...)
		bad = append(bad, added(fmt.Sprint("tx", i))...)
		taken = append(taken, added("t100", "t101")[i%2:i%2+1]...)
	}
	for what, list := range map[string]additions.List{"no room": many, "refused": bad, "taken": slices.Concat(taken[:2], many)} {
		l := new(looks)
		r, c := l.rules(), l.load(t, "overflow = \"reject\"")
		*l = looks{}
		now, out, err := r.WithGood(t.Context(), c, c.Feeds[0], list)
		if err != nil || len(out)+len(now.Feeds[0].Topics) < len(list)+2 || len(out) < 9_500 {
			t.Fatalf("%s: %d left out, %d wanted, %v", what, len(out), len(now.Feeds[0].Topics), err)
		}
		if l.protocol > 10 || l.between > 10 {
			t.Errorf("%s: %d looks by the protocol, %d between feeds", what, l.protocol, l.between)
		}
	}
}

// What is left out is what would be, if one after the other were tried beside those before it.
func TestWhatIsLeftOutIsWhatCannotBeWantedBesideThoseBefore(t *testing.T) {
	l := new(looks)
	r := l.rules()
	chance := rand.New(rand.NewPCG(1, 2))
	choice := added("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "tx", "x", "t100", "t101", "a1", "a2", "b1", "c1", "c2")
	for range 200 {
		c := l.load(t, []string{"", "overflow = \"reject\"\nlimits = { connections = 1, topics_per_connection = 6 }"}[chance.IntN(2)])
		list := slices.Clone(choice)
		chance.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:chance.IntN(len(list))]
		for i := range list {
			if chance.IntN(4) == 0 {
				list[i].Options = map[string]any{"mode": "quote"}
			}
		}
		var good additions.List
		var want []string
		for _, t := range list {
			if _, err := r.with(c, c.Feeds[0], slices.Concat(good, additions.List{t})); err == nil {
				good = append(good, t)
			} else {
				want = append(want, t.Name)
			}
		}
		now, out, err := r.WithGood(t.Context(), c, c.Feeds[0], list)
		var got []string
		for _, b := range out {
			if got = append(got, b.Topic); !strings.Contains(b.Err.Error(), b.Topic) {
				t.Errorf("%s: %v", b.Topic, b.Err)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("of %q: %q are left out, want %q, %v", namesOf(list), got, want, err)
		}
		if with, err := r.with(c, c.Feeds[0], good); err != nil || !slices.Equal(namesOf(now.Feeds[0].Topics), namesOf(with.Feeds[0].Topics)) {
			t.Fatalf("wanted: %q", namesOf(now.Feeds[0].Topics))
		}
	}
}

func TestAChangeEndsWithItsContext(t *testing.T) {
	l := new(looks)
	r, c := l.rules(), l.load(t, "")
	why := errors.New("it ends")
	ctx, end := context.WithCancelCause(t.Context())
	end(why)
	if _, _, err := r.Changed(ctx, c, c.Feeds[0], added("t3", "tx"), nil, nil); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestOnlyWhatSomebodyAsksForMustBeGood(t *testing.T) {
	l := new(looks)
	r, c := l.rules(), l.load(t, "")
	f, list := c.Feeds[0], added("t3", "tx", "t4")
	_, out, err := r.WithGood(t.Context(), c, f, list)
	if err != nil || len(out) != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	if _, again, err := r.Changed(t.Context(), c, f, list, out, added("t4")); err != nil || len(again) != 1 {
		t.Errorf("beside one that is left out already: %v, %v", again, err)
	}
	for _, asked := range []string{"tx", "tx2"} {
		_, _, err := r.Changed(t.Context(), c, f, append(slices.Clone(list), added("tx2")...), out, added("t4", asked))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q: has an x", asked)) {
			t.Errorf("asked for %s: %v", asked, err)
		}
	}
}

func TestTheFirstTopicThatTheProtocolRefusesIsNamed(t *testing.T) {
	l := new(looks)
	r, c := l.rules(), l.load(t, "")
	if _, _, err := r.Refused(c.Feeds[0], added("t3", "a1")); err != nil {
		t.Error(err)
	}
	i, below, err := r.Refused(c.Feeds[0], added("t3", "a1", "a2", "tx"))
	if i != 2 || below != "mode" || err == nil || err.Error() != `"a2": is the second with a` {
		t.Errorf("%d %q: %v", i, below, err)
	}
}
