package overlap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func bodies[T comparable](o *Overlap[T]) (list []string) {
	for e := range o.Release(time.Unix(100, 0)) {
		list = append(list, fmt.Sprintf("%v:%s", e.Topic, e.Payload))
	}
	return list
}

// both are the topics that both connections have.
var both = map[string]bool{"a": true, "b": true, "lost": true}

func TestWhatTheOldOneDoesNotHaveGoesStraightOn(t *testing.T) {
	o := New(MaxHeld, both)
	if v, _ := o.New(event("new", "1")); v != Pass {
		t.Errorf("verdict %v on a topic that only the new one has", v)
	}
	if v, _ := o.New(event("a", "1")); v != Withheld {
		t.Errorf("verdict %v on a topic that both have", v)
	}
}

func event(topic, body string) Event[string] {
	return Event[string]{Topic: topic, Payload: []byte(body)}
}

func TestWhatBothBringComesThroughOnce(t *testing.T) {
	o := New(MaxHeld, both)
	o.Old(event("a", "1")) // the old one is ahead …
	o.New(event("a", "1"))
	o.New(event("a", "2")) // … or the new one
	o.Old(event("a", "2"))
	o.New(event("b", "2")) // another topic
	o.New(event("a", "3")) // only the new one
	if got := bodies(o); !slices.Equal(got, []string{"b:2", "a:3"}) {
		t.Errorf("released %v", got)
	}
}

func TestATopicThatIsCededIsTheNewOnesAlone(t *testing.T) {
	o := New(MaxHeld, both)
	o.Old(event("a", "0"))
	o.New(event("a", "1"))
	o.New(event("b", "1"))
	o.New(event("a", "2"))
	var held []string
	for _, e := range o.Cede("a") {
		held = append(held, string(e.Payload))
	}
	if !slices.Equal(held, []string{"1", "2"}) || o.Cede("a") != nil {
		t.Errorf("ceded %v, want 1 and 2, once", held)
	}
	if o.Old(event("a", "1")) {
		t.Error("the old one goes on")
	}
	for body, want := range map[string]Verdict{"0": Withheld, "3": Pass} {
		if v, _ := o.New(event("a", body)); v != want {
			t.Errorf("event %s: verdict %v, want %v", body, v, want)
		}
	}
	if got := bodies(o); !slices.Equal(got, []string{"b:1"}) {
		t.Errorf("released %v", got)
	}
}

func TestWhatTheOldOneBringsWhileItIsClosedGoesOnFirst(t *testing.T) {
	o := New(MaxHeld, both)
	o.New(event("a", "1"))
	o.Closing()
	for _, body := range []string{"1", "2"} { // the second by the old one alone
		if !o.Old(event("a", body)) {
			t.Errorf("event %s of the old one is dropped", body)
		}
	}
	if v, _ := o.New(event("a", "3")); v != Withheld {
		t.Errorf("verdict %v on an event of the new one, while the old one is read", v)
	}
	if got := bodies(o); !slices.Equal(got, []string{"a:3"}) {
		t.Errorf("released %v", got)
	}
}

func TestEachMatchIsUsedOnce(t *testing.T) {
	o := New(MaxHeld, both)
	o.Old(event("a", "same"))
	o.New(event("a", "same"))
	o.New(event("a", "same"))
	o.New(event("a", "same"))
	o.Old(event("a", "same"))
	if got := bodies(o); !slices.Equal(got, []string{"a:same"}) {
		t.Errorf("released %v; the old one brought two of three", got)
	}
}

func TestAnIDCountsForMoreThanBytes(t *testing.T) {
	o := New(MaxHeld, both)
	o.Old(Event[string]{Topic: "a", ID: []byte("id1"), Payload: []byte("x")})
	o.New(Event[string]{Topic: "a", ID: []byte("id1"), Payload: []byte("other bytes")})
	o.New(Event[string]{Topic: "a", ID: []byte("id2"), Payload: []byte("x")})
	if got := bodies(o); !slices.Equal(got, []string{"a:x"}) {
		t.Errorf("released %v", got)
	}
}

func TestHeldEventsAreCopies(t *testing.T) {
	o := New(MaxHeld, both)
	b := []byte("first")
	o.New(Event[string]{Topic: "a", ID: nil, Payload: b})
	copy(b, "XXXXX")
	if got := bodies(o); !slices.Equal(got, []string{"a:first"}) {
		t.Errorf("released %v", got)
	}
}

func TestAfterTheReleaseNothingOldGoesOn(t *testing.T) {
	o := New(MaxHeld, both)
	if !o.Old(event("a", "1")) {
		t.Error("an event was stopped before the release")
	}
	bodies(o)
	if o.Old(event("a", "2")) {
		t.Error("an event that comes after newer ones went on")
	}
}

func (o *Overlap[T]) held100(n int) Verdict {
	v, _ := any(o).(*Overlap[string]).New(event("a", fmt.Sprintf("%0100d", n)))
	return v
}

func TestTheNewOneMayBeLateForAWhile(t *testing.T) {
	o := New(MaxHeld, both)
	o.Old(event("a", "1"))
	o.Old(event("a", "2"))
	bodies(o)
	at := func(body string, seconds int64) Event[string] {
		return Event[string]{Topic: "a", Payload: []byte(body), Received: time.Unix(seconds, 0)}
	}
	for _, row := range []struct {
		e    Event[string]
		want Verdict
		over bool
	}{{at("1", 101), Withheld, false}, {at("1", 101), Pass, false}, {at("2", 105), Withheld, false}, {at("3", 106), Pass, true}} {
		if v, over := o.New(row.e); v != row.want || over != row.over {
			t.Errorf("%s after %v: %v, %v", row.e.Payload, row.e.Received.Sub(time.Unix(100, 0)), v, over)
		}
	}
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	o := New(10*(eventSize+100), both)
	n := 0
	for ; n < 1000 && o.held100(n) == Withheld; n++ {
	}
	if n != 10 {
		t.Errorf("%d events found room for ten", n)
	}
	o.Old(event("a", fmt.Sprintf("%0100d", 3)))
	if o.held100(n) != Withheld {
		t.Error("a match makes no room")
	}
	if o.held100(n+1) != NoRoom {
		t.Error("there is room without an end")
	}
	o.Closing()
	if o.held100(n+1) != Overdue {
		t.Error("what cannot be held back must wait though the old one is being closed")
	}
}

func TestWhatTheOldOneBroughtIsForgottenInTheEnd(t *testing.T) {
	o := New(MaxHeld, both)
	for i := range 2 * maxDelivered {
		o.Old(event("a", fmt.Sprint(i)))
	}
	if n := len(o.delivered); n != maxDelivered {
		t.Errorf("%d events are remembered, want %d", n, maxDelivered)
	}
}

// However the two connections are interleaved, and however often an event repeats itself, what comes through is what
// happened, once and in order.
func TestWhateverTheOrderEverythingComesThroughOnce(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		happened := make([]string, 3000)
		for i := range happened {
			happened[i] = fmt.Sprint(r.IntN(len(happened))) // some are the same
		}
		begin := r.IntN(10) // the new one asked before this event
		end := begin + r.IntN(len(happened)-begin)
		var out []string
		o := New(1<<30, both)
		late := begin + r.IntN(len(happened)-begin) // from here on the new one brings it after the release
		for old, new := begin, begin; old < end || new < late; {
			if old < end && (new == late || r.IntN(2) == 0) {
				if o.Old(event("a", happened[old])) {
					out = append(out, "a:"+happened[old])
				}
				old++
			} else {
				o.New(event("a", happened[new]))
				new++
			}
		}
		out = append(out, bodies(o)...)
		for ; late < len(happened); late++ {
			if v, _ := o.New(event("a", happened[late])); v == Pass {
				out = append(out, "a:"+happened[late])
			}
		}
		want := make([]string, 0, len(happened))
		for _, h := range happened[begin:] {
			want = append(want, "a:"+h)
		}
		if !slices.Equal(out, want) {
			t.Fatalf("seed %d: %d events came through, %d happened", seed, len(out), len(want))
		}
	}
}

// A connection that begins with snapshots brings some that are older than what the other has brought since. A step is what one
// of the two brings, a time that passes, or that the old one shows itself to be behind.
func TestASnapshotIsNotReleasedAfterWhatIsNewer(t *testing.T) {
	for name, row := range map[string]struct{ steps, want string }{
		"nothing came since": {"new:1 wait", "a:1"},
		"the old one brought more, which the new one has not yet":  {"new:1 old:2", ""},
		"both brought more, the old one first":                     {"old:2 new:1 new:2 new:3", "a:3"},
		"both brought more, the new one first":                     {"new:1 new:2 new:3 old:2", "a:3"},
		"the old one is behind, and brings it all":                 {"lag new:2 new:3 new:4 old:1 old:2 old:3 old:4", ""},
		"the old one is behind, and left before it brings it all":  {"lag new:2 new:3 new:4 old:1 old:2 old:3", "a:4"},
		"the old one is behind the snapshot, and breaks":           {"lag new:2 new:3 old:1 old:1b", "a:2 a:3"},
		"the old one brings what the new one has, in other bytes":  {"lag new:1 wait old:1b new:2", "a:2"},
		"what is held for long goes, and what came just now stays": {"lag new:1 new:2 wait new:3 old:2b", "a:3"},
	} {
		t.Run(name, func(t *testing.T) {
			o := New(MaxHeld, both)
			o.Snapshots = true
			now := time.Now()
			for step := range strings.FieldsSeq(row.steps) {
				who, body, _ := strings.Cut(step, ":")
				e := Event[string]{Topic: "a", Payload: []byte(body), Received: now}
				switch who {
				case "lag": // seen on another topic
					e.Topic = "b"
					o.New(e)
					now = now.Add(behindFor / 4)
					e.Received = now
					o.Old(e)
				case "wait":
					now = now.Add(behindFor + 1)
				case "new":
					o.New(e)
				default:
					o.Old(e)
				}
			}
			if got := strings.Join(bodies(o), " "); got != row.want {
				t.Errorf("released %q, want %q", got, row.want)
			}
		})
	}
}

func TestOfSnapshotsOnlyWhatIsAsNewAsTheCloseIsReleased(t *testing.T) {
	for _, closing := range []bool{true, false} {
		o := New(MaxHeld, both)
		o.Snapshots = true
		for body, age := range map[string]time.Duration{"old": time.Second, "new": 0} {
			o.New(Event[string]{Topic: map[string]string{"old": "a", "new": "b"}[body], Payload: []byte(body), Received: time.Now().Add(-age)})
		}
		o.New(Event[string]{Topic: "lost", Payload: []byte("1"), Received: time.Now().Add(-time.Second)}) // on the old one
		o.Old(Event[string]{Topic: "a", Payload: []byte("newer"), Received: time.Now().Add(-time.Second - behindFor/8)})
		o.Old(Event[string]{Topic: "lost", Payload: []byte("0"), Received: time.Now().Add(-time.Second - behindFor)})
		want := []string{"a:old", "b:new", "lost:1"}
		if closing {
			o.Closing()
			want = want[1:]
		}
		got := bodies(o)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("closing is %v: released %v, want %v", closing, got, want)
		}
	}
}

// Superseding keeps the accounts right: what it discards takes no room, and a topic's later events are held as before.
func TestManySnapshotsThatAreSupersededTakeNoRoom(t *testing.T) {
	o := New(100*(eventSize+4), map[string]bool{"a": true})
	o.Snapshots = true
	for i := range 20_000 {
		body := fmt.Sprintf("%04d", i%10_000)
		if v, _ := o.New(event("a", body)); v != Withheld {
			t.Fatalf("event %d: %v with %d bytes held", i, v, o.bytes)
		}
		if i%50 == 49 && !o.Old(event("a", body)) {
			t.Fatalf("event %d did not go on", i)
		}
	}
	o.New(event("a", "last"))
	if got := bodies(o); !slices.Equal(got, []string{"a:last"}) {
		t.Errorf("released %v", got)
	}
	if o.bytes != 0 || len(o.byTopic) != 0 {
		t.Errorf("%d bytes are held", o.bytes)
	}
}
