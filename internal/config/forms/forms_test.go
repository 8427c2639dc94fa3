package forms

import "testing"

func TestAddressesMeetHoweverTheyAreSpelled(t *testing.T) {
	for _, c := range []struct {
		a, b string
		meet bool
	}{
		{"127.0.0.1:4222", "127.0.0.1:4222", true},
		{"localhost:4222", "127.0.0.1:04222", true},
		{"[::1]:4222", "[0:0::1]:4222", true},
		{":4222", "127.0.0.1:4222", true},
		{"192.0.2.7:4222", "0.0.0.0:4222", true},
		{"Host:1", "hOST:1", true},
		{"127.0.0.1:4222", "127.0.0.1:8422", false},
		{"127.0.0.1:4222", "127.0.0.2:4222", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"", "", false},
		{"", ":4222", false},
	} {
		if Meet(c.a, c.b) != c.meet || Meet(c.b, c.a) != c.meet {
			t.Errorf("%q and %q: want %v", c.a, c.b, c.meet)
		}
	}
}
