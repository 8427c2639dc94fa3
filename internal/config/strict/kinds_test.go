package strict

import (
	"fmt"
	"testing"
	"time"
)

func TestRatesAndSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{"1KiB", "16MiB", "3GiB", "0B", "1000B", "1025KiB"} {
		n, ok := parseSize(s)
		if got := FormatSize(n); !ok || got != s {
			t.Errorf("%s becomes %s", s, got)
		}
	}
	for s, want := range map[string]int{"1024": 1024, "2kB": 2000, "2KB": 2000, "3MB": 3e6, "1GB": 1e9, "7 B": 7} {
		if n, ok := parseSize(s); !ok || n != want {
			t.Errorf("%s is %d bytes", s, n)
		}
	}
	for _, s := range []string{"", "B", "KiB", "1Ki", "1 k B", "0x1", "1kBB", "1tB", "+1", " 1",
		"9223372036854775808", "8589934592GiB"} {
		if n, ok := parseSize(s); ok {
			t.Errorf("%q is %d bytes", s, n)
		}
	}
	for _, s := range []string{"1/2s", "10/1m", "3/1h", "3/1h30m", "1/1h0m1s", "5/500ms"} {
		var n int
		var per time.Duration
		d := &Decoder{}
		Rate(&n, &per).Decode(d, "", s)
		if got := fmt.Sprintf("%d/%s", n, FormatDuration(per)); got != s || d.Err() != nil {
			t.Errorf("%s becomes %s", s, got)
		}
	}
}
