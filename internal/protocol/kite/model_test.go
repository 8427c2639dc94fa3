package kite

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// upstream is Kite as far as it is known: which instruments it would send, and in which mode.
type upstream map[uint32]string

func (u upstream) hear(t *testing.T, f protocol.Frame) {
	var m struct {
		A string            `json:"a"`
		V []json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(f.Payload, &m); err != nil || len(m.V) == 0 {
		t.Fatalf("%s: %v", f.Payload, err)
	}
	read := func(raw []byte, to any) {
		if err := json.Unmarshal(raw, to); err != nil {
			t.Fatalf("%s: %v", f.Payload, err)
		}
	}
	var tokens []uint32
	mode := "quote"
	if m.A == "mode" {
		read(m.V[0], &mode)
		read(m.V[1], &tokens)
	} else {
		tokens = make([]uint32, len(m.V))
		for i, v := range m.V {
			read(v, &tokens[i])
		}
	}
	for _, token := range tokens {
		_, has := u[token]
		switch {
		case m.A == "unsubscribe" && has:
			delete(u, token)
		case m.A == "mode" && has:
			u[token] = mode
		case m.A == "subscribe":
			u[token] = "quote"
		default:
			t.Fatalf("%s: it does not have %d", f.Payload, token)
		}
	}
}

func TestTheUpstreamIsAskedForWhatIsWantedWhateverChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 200 {
		s, there, held := open(Options{}), upstream{}, map[shard.Topic]Instrument{}
		for range 30 {
			var add []protocol.Topic
			var drop []shard.Topic
			for _, i := range r.Perm(6)[:r.IntN(6)] {
				name := shard.Topic('A' + rune(i))
				if r.IntN(3) == 0 {
					drop = append(drop, name)
				}
				if r.IntN(2) == 0 {
					continue
				}
				in := Instrument{Token: 1 + r.Uint32N(8), Mode: Mode(r.IntN(3))}
				if r.IntN(8) == 0 {
					in = Instrument{Problem: "none"}
				}
				add = append(add, protocol.Topic{Name: name, Options: in})
			}
			var out protocol.Out
			s.Change(add, drop, &out)

			// What must be known of each topic in add: it is refused, awaited, or went on in another mode.
			asked, not := map[shard.Topic]int{}, map[shard.Topic]bool{}
			for _, f := range out.Frames {
				there.hear(t, f)
				for _, name := range f.Asks {
					asked[name]++
				}
			}
			for _, x := range out.Settled {
				not[x.Topics[0]] = true
				refused++
			}
			for _, name := range drop {
				delete(held, name)
			}
			for _, a := range add { // whoever still has what it asks for is about to be something else
				in := a.Options.(Instrument)
				maps.DeleteFunc(held, func(name shard.Topic, other Instrument) bool { return name != a.Name && other.Token == in.Token })
			}
			for _, a := range add {
				in := a.Options.(Instrument)
				before, had := held[a.Name]
				goesOn := had && before.Token == in.Token && before.Mode != in.Mode
				if want := !not[a.Name] && !goesOn; (asked[a.Name] == 1) != want {
					t.Fatalf("%s is awaited %d times, refused: %v, goes on: %v", a.Name, asked[a.Name], not[a.Name], goesOn)
				}
				if delete(held, a.Name); !not[a.Name] {
					held[a.Name] = in
				}
			}
			want := upstream{}
			for _, in := range held {
				want[in.Token] = in.Mode.String()
			}
			if !maps.Equal(there, want) || len(want) != len(held) {
				t.Fatalf("it has %v, wanted %v (%v)", there, want, held)
			}
			for token := range uint32(10) {
				var heard []string
				for _, e := range hear(s, frame(ltp(token, 1))).Events {
					heard = append(heard, string(e.Topic))
				}
				var names []string
				for name, in := range held {
					if in.Token == token {
						names = append(names, string(name))
					}
				}
				if !slices.Equal(heard, names) {
					t.Fatalf("a tick of %d is for %q, not %q", token, names, heard)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
