package shard

import (
	"cmp"
	"slices"
)

// Assign gives the wanted topics places, starting from those they have in prev, and returns the topics for which
// there is no room: most wanted first, equals in the order of listing.
//
// want may list a topic more than once: its highest priority counts, at the place of its first listing. prev may name
// topics that are no longer wanted, which lose their place, and slots that room does not have, which are closed.
// Neither is changed or kept.
//
// A newcomer, or a topic whose slot closed, goes with Pack to the slot that carries the most topics and has room, so
// that empty slots stay empty; with Spread to the one that carries the fewest; the lower number wins a tie. Time grows
// with the number of topics, times the number of slots for those that need a new place.
func Assign(prev Assignment, want []Wanted, room Room, how Placement) (next Assignment, unplaced []Topic) {
	all := candidates(want)
	slices.SortFunc(all, byListing)

	// Within a slot that shrank, the most wanted keep their place.
	used := make([]int, len(room))
	for i := range all {
		c := &all[i]
		s, had := prev[c.Topic]
		switch {
		case !had:
			c.claim = newcomer
		case s < 0 || int(s) >= len(room) || used[s] >= room[s]:
			c.claim = displaced
		default:
			c.claim, c.slot = keeps, s
			used[s]++
		}
	}

	// Now everybody's rank is known: the first by rank have a place, and the others leave theirs.
	slices.SortFunc(all, byRank)
	n := min(len(all), room.Total())
	placed, rest := all[:n], all[n:]
	for _, c := range rest {
		if c.claim == keeps {
			used[c.slot]--
		}
	}

	next = make(Assignment, len(placed))
	for _, c := range placed {
		if c.claim != keeps {
			c.slot = how.choose(used, room)
			used[c.slot]++
		}
		next[c.Topic] = c.slot
	}

	// Whatever they had before, they are newcomers from now on, so their order must not tell.
	slices.SortFunc(rest, byListing)
	for _, c := range rest {
		unplaced = append(unplaced, c.Topic)
	}
	return next, unplaced
}

// candidate is a wanted topic while Assign thinks about it.
type candidate struct {
	Wanted
	listed int // position of the first listing
	claim  claim
	slot   Slot // which one it keeps
}

// claim orders topics of equal priority, the strongest first.
type claim int8

const (
	keeps     claim = iota // its slot has room for it
	displaced              // its slot closed, or shrank below it
	newcomer
)

// candidates are the wanted topics, each once, in the order of listing.
func candidates(want []Wanted) []candidate {
	all := make([]candidate, 0, len(want))
	index := make(map[Topic]int, len(want))
	for _, w := range want {
		if i, again := index[w.Topic]; again {
			all[i].Priority = max(all[i].Priority, w.Priority)
			continue
		}
		index[w.Topic] = len(all)
		all = append(all, candidate{Wanted: w, listed: len(all)})
	}
	return all
}

func byListing(a, b candidate) int {
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	return cmp.Compare(a.listed, b.listed)
}

func byRank(a, b candidate) int {
	if a.Priority == b.Priority && a.claim != b.claim {
		return cmp.Compare(a.claim, b.claim)
	}
	return byListing(a, b)
}

// choose names the slot for a topic that needs a new place. One of the slots has room.
func (how Placement) choose(used []int, room Room) Slot {
	best := -1
	for s := range room {
		switch {
		case used[s] >= room[s]:
		case best < 0, how == Pack && used[s] > used[best], how == Spread && used[s] < used[best]:
			best = s
		}
	}
	return Slot(best)
}
