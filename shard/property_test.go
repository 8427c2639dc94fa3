package shard

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestEveryPlanKeepsTheRules(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	for i := range 1000 {
		story := make(source, r.IntN(400))
		for j := range story {
			story[j] = byte(r.Uint32())
		}
		walk(t, story)
		if t.Failed() {
			t.Fatalf("story %d of seed %d", i, seed)
		}
	}
}

func FuzzAssign(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x03\x02\x02\x00\x00\x06\x00\x01\x01\x00\x02\x02\x03\x01\x04\x00\x05\x01"))
	f.Add([]byte("more topics than room, closed slots, and the same topic again and again"))
	f.Fuzz(func(t *testing.T, story []byte) { walk(t, story) })
}

// source turns bytes into choices, so that a random test and a fuzzer tell the same stories.
type source []byte

// below takes a choice from 0 to n-1; without bytes it is 0.
func (s *source) below(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := int((*s)[0])
	*s = (*s)[1:]
	return b % n
}

// walk makes plan after plan, each from the one before, while wishes and room change.
func walk(t *testing.T, story source) {
	t.Helper()
	prev := Assignment{"gone": 0, "t1": 99, "t2": -3, "t3": 1} // as from another configuration
	for len(story) > 0 && !t.Failed() {
		room := make(Room, story.below(5))
		for s := range room {
			room[s] = story.below(8) - 1
		}
		want := make([]Wanted, story.below(24))
		for i := range want {
			want[i] = Wanted{Topic: Topic(fmt.Sprintf("t%d", story.below(20))), Priority: story.below(3) - 1}
		}
		prev = checkedAssign(t, prev, want, room, Placement(story.below(2)))
	}
}

// checkedAssign is Assign, held against every rule that does not need to know how it is done.
func checkedAssign(t *testing.T, prev Assignment, want []Wanted, room Room, how Placement) Assignment {
	t.Helper()
	prevBefore, wantBefore, roomBefore := maps.Clone(prev), slices.Clone(want), slices.Clone(room)
	next, unplaced := Assign(prev, want, room, how)
	broken := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s\nprev %v\nwant %v\nroom %v how %v\nnext %v\nunplaced %v",
			fmt.Sprintf(format, args...), prev, want, room, how, next, unplaced)
	}

	if !maps.Equal(prev, prevBefore) || !slices.Equal(want, wantBefore) || !slices.Equal(room, roomBefore) {
		broken("an input was changed")
	}
	again, left := Assign(maps.Clone(prev), want, room, how)
	if !maps.Equal(again, next) || !slices.Equal(left, unplaced) {
		broken("the same question got another answer: %v %v", again, left)
	}
	again, left = Assign(next, want, room, how)
	if !maps.Equal(again, next) || !slices.Equal(left, unplaced) {
		broken("the plan made from itself is another: %v %v", again, left)
	}

	// Every wanted topic once, and nothing else.
	priority, listed := map[Topic]int{}, map[Topic]int{}
	for i, w := range want {
		if _, again := listed[w.Topic]; !again {
			listed[w.Topic], priority[w.Topic] = i, w.Priority
		}
		priority[w.Topic] = max(priority[w.Topic], w.Priority)
	}
	seen := slices.Concat(slices.Collect(maps.Keys(next)), unplaced)
	slices.Sort(seen)
	if !reflect.DeepEqual(seen, slices.Sorted(maps.Keys(listed))) && len(seen)+len(listed) > 0 {
		broken("placed and unplaced together are %v", seen)
	}

	// Room is kept to, and none is left while somebody has no place.
	used := make([]int, len(room))
	for topic, s := range next {
		if s < 0 || int(s) >= len(room) {
			broken("%s is in slot %d", topic, s)
			return next
		}
		used[s]++
	}
	for s := range room {
		if used[s] > max(room[s], 0) {
			broken("slot %d carries %d of %d", s, used[s], room[s])
		}
		if len(unplaced) > 0 && used[s] < room[s] {
			broken("slot %d has room left", s)
		}
	}

	// before is the order of priority and listing.
	before := func(a, b Topic) bool {
		return priority[a] > priority[b] || priority[a] == priority[b] && listed[a] < listed[b]
	}
	if !slices.IsSortedFunc(unplaced, func(a, b Topic) int {
		if before(a, b) {
			return -1
		}
		return 1
	}) {
		broken("unplaced is not in the order of wanting")
	}

	// Who was in a slot, and still is wanted.
	members := map[Slot][]Topic{}
	for topic := range listed {
		if s, had := prev[topic]; had {
			members[s] = append(members[s], topic)
		}
	}
	fits := func(s Slot) bool { return s >= 0 && int(s) < len(room) && len(members[s]) <= room[s] }

	for topic, s := range next {
		was, had := prev[topic]
		if !had || was == s {
			continue
		}
		if fits(was) {
			broken("%s moved from slot %d, which has room for all", topic, was)
		}
		for _, other := range members[was] {
			if stays, ok := next[other]; ok && stays == was && !before(other, topic) {
				broken("%s had to move for %s, which is less wanted", topic, other)
			}
		}
	}

	for _, out := range unplaced {
		was, had := prev[out]
		for in, s := range next {
			wasIn, hadIn := prev[in]
			kept := hadIn && wasIn == s
			switch {
			case priority[out] > priority[in]:
				broken("%s has no place, and %s of lower priority has one", out, in)
			case priority[out] < priority[in]:
			case had && fits(was) && !kept:
				broken("%s lost its place to its equal %s", out, in)
			case had && !hadIn:
				broken("%s lost its place to the newcomer %s", out, in)
			case !had && !hadIn && listed[out] < listed[in]:
				broken("%s was listed before its equal %s", out, in)
			}
		}
	}
	return next
}
