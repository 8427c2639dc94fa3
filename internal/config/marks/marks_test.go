package marks

import "testing"

// Each key in the text has the number of its line as its value.
func TestEveryPathHasItsLine(t *testing.T) {
	const text = `a = 1
[b]
c.d = 3
"e.f" = 4
[[feed]]
g = 6
[feed.limits]
h = 8

[[feed]]
g = 11
i = [
  13, 14
  , [15],
  { j = 16,
    k.l = 17 }]
[[feed.sub]]
m = 19
[[feed.sub]]
m = 21
[feed.sub.n]
o = 23
[b.p.q]
[b.p]
r = 26
`
	want := map[string]int{
		"a": 1, "b": 2, "b.c": 3, "b.c.d": 3, `b."e.f"`: 4,
		"feed": 5, "feed[0]": 5, "feed[0].g": 6, "feed[0].limits": 7, "feed[0].limits.h": 8,
		"feed[1]": 10, "feed[1].g": 11, "feed[1].i": 12, "feed[1].i[0]": 13, "feed[1].i[1]": 13,
		"feed[1].i[2]": 12, "feed[1].i[2][0]": 14, // an array in an array has no place of its own
		"feed[1].i[3]": 15, "feed[1].i[3].j": 15, "feed[1].i[3].k": 16, "feed[1].i[3].k.l": 16,
		"feed[1].sub": 17, "feed[1].sub[0]": 17, "feed[1].sub[0].m": 18,
		"feed[1].sub[1]": 19, "feed[1].sub[1].m": 20, "feed[1].sub[1].n": 21, "feed[1].sub[1].n.o": 22,
		"b.p": 24, "b.p.q": 23, "b.p.r": 25,
	}
	lines, twice, _, err := Lines([]byte(text))
	if err != nil || twice != nil {
		t.Fatal(err, twice)
	}
	for path, line := range want {
		if lines[path] != line {
			t.Errorf("%s is at line %d, want %d", path, lines[path], line)
		}
	}
	for path := range lines {
		if want[path] == 0 {
			t.Errorf("%s is not in the text", path)
		}
	}
}
