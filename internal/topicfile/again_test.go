package topicfile

import (
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
)

func TestAFileThatDidNotChangeIsReadOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, "a", "b")
		reads, read := 0, f.o.Read
		f.o.Read = func(file string) ([]string, error) {
			reads++
			return read(file)
		}
		looks := func(n, want int, what string) {
			t.Helper()
			reads = 0
			for range n {
				f.look()
				time.Sleep(5 * time.Second)
			}
			if reads != want {
				t.Errorf("%s: read %d times in %d looks, want %d", what, reads, n, want)
			}
		}
		looks(12, 1, "at first")
		looks(24, 2, "unchanged")
		f.write(time.Hour, "b", "a") // as long as before
		looks(1, 1, "changed")
		f.want("changed", "b", "a")
		f.write(time.Hour, "x", "y")
		looks(12, 1, "held")
		if f.Held() == "" {
			t.Error("it is not held any more")
		}
	})
}
