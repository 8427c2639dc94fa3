package asks

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/topic"
	"feedmux/limiter"
)

// trial is an upstream that ends each life that asks for a culprit, and what the lives of a slot find out.
type trial struct {
	wanted, culprits []*topic.Topic
	blame            Culprits
	now              time.Time
}

func newTrial(n int, culprits ...int) *trial {
	_, _, wanted := asksOf(n)
	c := &trial{wanted: wanted, now: time.Unix(1000, 0)}
	for _, i := range culprits {
		c.culprits = append(c.culprits, wanted[i])
	}
	return c
}

// live is one life, from its first ask to its end, or until all is answered: then it says so. Answers take a second.
// heard is what the life's end says of the upstream.
func (c *trial) live(t *testing.T, heard bool) (guilty *topic.Topic, answered bool) {
	l := session{pubsub.New(pubsub.Options{}).Open(protocol.Endpoint{})}
	a := New(20, limiter.Window{N: 10, Per: time.Second}, &c.blame)
	a.Want(c.wanted, l)
	for range 1000 {
		frames := a.writeAll(l, c.now)
		c.now = c.now.Add(time.Second)
		if len(frames) == 0 && a.countConfirmed() == len(c.wanted) {
			return nil, true
		}
		for _, f := range frames {
			var asked []*topic.Topic
			for _, k := range f.asks {
				asked = append(asked, k.topic)
			}
			if slices.ContainsFunc(asked, func(t *topic.Topic) bool { return slices.Contains(c.culprits, t) }) {
				return a.LifeEnded(c.now, heard), false
			}
			for _, topic := range asked {
				a.Settle(verdictOn(topic, protocol.Confirmed), l, c.now)
			}
		}
		if wake := a.Wake(); wake.Before(c.now.Add(-time.Second)) && !wake.IsZero() && len(frames) == 0 {
			t.Fatalf("nothing is to be written, and it wants to be asked again at %v, %v ago", wake, c.now.Sub(wake))
		}
	}
	t.Fatal("the life goes on without end")
	return nil, false
}

func TestEveryCulpritIsFoundInAFewLivesAndNobodyElse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	most := 0.0
	for range 100 {
		n := 1 + r.IntN(100)
		culprits := r.Perm(n)[:min(n, r.IntN(5))]
		c := newTrial(n, culprits...)
		bound := 2 + len(culprits)*(1+bits.Len(20))
		for lives := 0; ; lives++ {
			guilty, answered := c.live(t, true)
			if answered {
				break
			}
			if lives > bound {
				t.Fatalf("culprits %v of %d topics: %d lives, and %d are not found", culprits, n, lives, len(c.culprits))
			}
			if guilty == nil {
				continue
			}
			if !slices.Contains(c.culprits, guilty) {
				t.Fatalf("culprits %v of %d topics: %s is blamed", culprits, n, guilty.Name)
			}
			is := func(t *topic.Topic) bool { return t == guilty }
			c.culprits, c.wanted = slices.DeleteFunc(c.culprits, is), slices.DeleteFunc(c.wanted, is)
			most = max(most, float64(lives+1)/float64(len(culprits)))
		}
		if len(c.culprits) > 0 || len(c.blame.most) > 0 || c.blame.strikes > 0 {
			t.Fatalf("culprits %v of %d topics: left are %v, %+v", culprits, n, c.culprits, c.blame)
		}
	}
	t.Logf("%.1f lives for a culprit at most", most)
}

func TestAnUpstreamThatNeverSpeaksBlamesNobody(t *testing.T) {
	c := newTrial(3, 0, 1, 2)
	for range 100 {
		if guilty, _ := c.live(t, false); guilty != nil {
			t.Fatalf("%s is blamed", guilty.Name)
		}
	}
	c.culprits = nil
	if _, answered := c.live(t, true); !answered || len(c.blame.most) > 0 {
		t.Errorf("answered: %v, %+v", answered, c.blame)
	}
}

func TestALifeThatEndsWithoutAnAskBreaksTheRow(t *testing.T) {
	_, _, topics := asksOf(1)
	for _, row := range []struct {
		row    string // a: ended soon after an ask; -: not
		guilty bool
	}{
		{"aaa", true}, {"aa", false}, {"a-a-a-a", false}, {"aa-a", false}, {"aa-aa", true}, {"-aaa", true},
	} {
		var c Culprits
		var guilty *topic.Topic
		for _, end := range row.row {
			var pending []*topic.Topic
			if end == 'a' {
				pending = topics
			}
			guilty = c.lifeEnded(pending, 20, true)
		}
		if (guilty != nil) != row.guilty {
			t.Errorf("%s: blamed %v", row.row, guilty)
		}
	}
}

func TestASuspectThatIsNotWantedAnyMoreIsForgotten(t *testing.T) {
	c := newTrial(5, 3)
	c.live(t, true)
	c.live(t, true)
	if len(c.blame.most) == 0 {
		t.Fatal("nothing is suspected")
	}
	c.wanted = c.wanted[:0:0]
	for i := range 5 { // the same names, wanted anew
		c.wanted = append(c.wanted, &topic.Topic{Name: newTrial(5).wanted[i].Name})
	}
	c.culprits = nil
	if _, answered := c.live(t, true); !answered || fmt.Sprint(c.blame) != fmt.Sprint(Culprits{}) {
		t.Errorf("answered: %v, %+v", answered, c.blame)
	}
}
