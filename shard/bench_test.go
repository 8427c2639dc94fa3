package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// crowd is n topics with a few priorities, as a large configuration has them.
func crowd(n int) []Wanted {
	r := rand.New(rand.NewPCG(1, 1))
	want := make([]Wanted, n)
	for i := range want {
		want[i] = Wanted{Topic: Topic(fmt.Sprintf("video-playback-by-id.%d", 10_000_000+i)), Priority: r.IntN(3)}
	}
	return want
}

func tenSlots(n int) Room {
	room := make(Room, 10)
	for s := range room {
		room[s] = n / len(room)
	}
	return room
}

func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		want, room := crowd(n), tenSlots(n)
		for how, name := range []string{Pack: "pack", Spread: "spread"} {
			b.Run(fmt.Sprintf("topics=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Assign(nil, want, room, Placement(how))
				}
			})
		}
	}
}

func BenchmarkAssignOneChanged(b *testing.B) {
	const n = 100_000
	want, room := crowd(n), tenSlots(n)
	prev, _ := Assign(nil, want, room, Pack)
	want[n/2].Topic = "newcomer"
	b.ReportAllocs()
	for b.Loop() {
		Assign(prev, want, room, Pack)
	}
}
