package shard

import (
	"maps"
	"math"
	"slices"
	"testing"
)

// topics makes a wanted list of equal priority out of one-letter topics.
func topics(letters string) []Wanted {
	var want []Wanted
	for _, c := range letters {
		want = append(want, Wanted{Topic: Topic(c)})
	}
	return want
}

func TestAssign(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prev     Assignment
		want     []Wanted
		room     Room
		how      Placement
		next     Assignment
		unplaced []Topic
	}{
		{
			name: "pack fills one slot before the next",
			want: topics("abcde"), room: Room{2, 2, 2}, how: Pack,
			next: Assignment{"a": 0, "b": 0, "c": 1, "d": 1, "e": 2},
		},
		{
			name: "pack prefers the fullest slot that has room and leaves empty ones empty",
			prev: Assignment{"a": 1, "b": 2, "c": 2},
			want: topics("abcde"), room: Room{3, 3, 3}, how: Pack,
			next: Assignment{"a": 1, "b": 2, "c": 2, "d": 2, "e": 1},
		},
		{
			name: "spread levels, the lowest number first",
			want: topics("abcd"), room: Room{2, 2, 2}, how: Spread,
			next: Assignment{"a": 0, "b": 1, "c": 2, "d": 0},
		},
		{
			name: "spread prefers the emptiest slot",
			prev: Assignment{"a": 0, "b": 0, "c": 1},
			want: topics("abcde"), room: Room{4, 4, 4}, how: Spread,
			next: Assignment{"a": 0, "b": 0, "c": 1, "d": 2, "e": 1},
		},
		{
			name: "a closed slot takes nobody",
			want: topics("abc"), room: Room{0, 1, -1}, how: Spread,
			next: Assignment{"a": 1}, unplaced: []Topic{"b", "c"},
		},
		{
			name: "who does not fit is returned, least wanted last",
			want: []Wanted{{Topic: "a", Priority: 0}, {Topic: "b", Priority: 2}, {Topic: "c", Priority: 1}, {Topic: "d", Priority: 2}, {Topic: "e", Priority: 0}}, room: Room{1}, how: Pack,
			next: Assignment{"b": 0}, unplaced: []Topic{"d", "c", "a", "e"},
		},
		{
			name: "nobody moves for tidiness",
			prev: Assignment{"a": 0, "b": 1, "c": 2},
			want: topics("abc"), room: Room{3, 3, 3}, how: Pack,
			next: Assignment{"a": 0, "b": 1, "c": 2},
		},
		{
			name: "topics of a closed slot move, the others stay",
			prev: Assignment{"a": 0, "b": 0, "c": 1, "d": 1},
			want: topics("abcd"), room: Room{0, 2, 2}, how: Pack,
			next: Assignment{"a": 2, "b": 2, "c": 1, "d": 1},
		},
		{
			name: "a slot that shrank keeps its most wanted",
			prev: Assignment{"a": 0, "b": 0, "c": 0},
			want: []Wanted{{Topic: "a", Priority: 0}, {Topic: "b", Priority: 0}, {Topic: "c", Priority: 1}}, room: Room{2, 2}, how: Pack,
			next: Assignment{"a": 0, "b": 1, "c": 0},
		},
		{
			name: "an incumbent keeps its place against an equal that was listed before",
			prev: Assignment{"b": 0},
			want: topics("ab"), room: Room{1}, how: Pack,
			next: Assignment{"b": 0}, unplaced: []Topic{"a"},
		},
		{
			name: "who lost a slot yields to equals that keep theirs",
			prev: Assignment{"a": 0, "b": 1},
			want: topics("ab"), room: Room{0, 1}, how: Pack,
			next: Assignment{"b": 1}, unplaced: []Topic{"a"},
		},
		{
			name: "who lost a slot comes before newcomers",
			prev: Assignment{"c": 0, "b": 1},
			want: topics("abc"), room: Room{0, 2}, how: Pack,
			next: Assignment{"b": 1, "c": 1}, unplaced: []Topic{"a"},
		},
		{
			name: "who lost a slot evicts the less wanted",
			prev: Assignment{"a": 0, "b": 1},
			want: []Wanted{{Topic: "a", Priority: 1}, {Topic: "b", Priority: 0}}, room: Room{0, 1}, how: Pack,
			next: Assignment{"a": 1}, unplaced: []Topic{"b"},
		},
		{
			name: "a newcomer evicts the least wanted of all, and takes its place",
			prev: Assignment{"a": 0, "b": 0, "c": 1, "d": 1},
			want: []Wanted{{Topic: "a", Priority: 2}, {Topic: "b", Priority: 1}, {Topic: "c", Priority: 0}, {Topic: "d", Priority: 2}, {Topic: "e", Priority: 2}}, room: Room{2, 2}, how: Pack,
			next: Assignment{"a": 0, "b": 0, "d": 1, "e": 1}, unplaced: []Topic{"c"},
		},
		{
			name: "of equals the last listed is evicted",
			prev: Assignment{"a": 0, "b": 0},
			want: []Wanted{{Topic: "b", Priority: 0}, {Topic: "a", Priority: 0}, {Topic: "c", Priority: 1}}, room: Room{2}, how: Pack,
			next: Assignment{"b": 0, "c": 0}, unplaced: []Topic{"a"},
		},
		{
			name: "a topic listed twice has its highest priority, and one place",
			want: []Wanted{{Topic: "a", Priority: 0}, {Topic: "b", Priority: 1}, {Topic: "a", Priority: 2}, {Topic: "a", Priority: 1}}, room: Room{1, 1}, how: Spread,
			next: Assignment{"a": 0, "b": 1},
		},
		{
			name: "a topic listed twice stands where it was listed first",
			want: []Wanted{{Topic: "a", Priority: 0}, {Topic: "b", Priority: 1}, {Topic: "a", Priority: 1}}, room: Room{1}, how: Spread,
			next: Assignment{"a": 0}, unplaced: []Topic{"b"},
		},
		{
			name: "what is not wanted goes, and slots that are not there are closed",
			prev: Assignment{"a": -1, "b": 7, "z": 0},
			want: topics("ab"), room: Room{1, 1}, how: Pack,
			next: Assignment{"a": 0, "b": 1},
		},
		{
			name: "without room nobody has a place",
			prev: Assignment{"a": 0},
			want: topics("ab"), room: nil, how: Pack,
			next: Assignment{}, unplaced: []Topic{"a", "b"},
		},
		{
			name: "room without a limit",
			want: topics("abc"), room: Room{math.MaxInt, math.MaxInt}, how: Spread,
			next: Assignment{"a": 0, "b": 1, "c": 0},
		},
		{
			name: "nothing wanted",
			prev: Assignment{"a": 0},
			room: Room{1}, how: Pack,
			next: Assignment{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, unplaced := Assign(tt.prev, tt.want, tt.room, tt.how)
			if next == nil || !maps.Equal(next, tt.next) {
				t.Errorf("next = %v, want %v", next, tt.next)
			}
			if !slices.Equal(unplaced, tt.unplaced) {
				t.Errorf("unplaced = %v, want %v", unplaced, tt.unplaced)
			}
		})
	}
}
