package pool

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/sim/twitch"
	"feedmux/internal/tally"
)

func TestWhatIsSkippedIsLoggedOnceAMinuteAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &diary{}
		s := play(t, twitch.PubSubOptions{GarbageEvery: 2 * time.Second}, topics(20), func(o *Options) {
			connections(o, 1)
			o.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		time.Sleep(oddEvery - time.Second)
		const text = `level=WARN msg="messages were skipped" feed=`
		if n := log.count("messages were skipped"); n != 0 {
			t.Errorf("%d lines in the first minute", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		first := s.status().Counters.Skipped["malformed"]
		if first == 0 || log.count(text, fmt.Sprintf("skipped.malformed=%d\n", first)) != 1 {
			t.Errorf("%d were malformed in the first minute:\n%s", first, log.text.String())
		}
		time.Sleep(oddEvery)
		synctest.Wait()
		second := s.status().Counters.Skipped["malformed"] - first
		if second == 0 || log.count(text, fmt.Sprintf("skipped.malformed=%d\n", second)) == 0 || log.count("messages were skipped") != 2 {
			t.Errorf("%d were malformed in the second minute:\n%s", second, log.text.String())
		}
		time.Sleep(oddEvery / 2)
		s.end()
		<-s.done
		if log.count("messages were skipped") != 3 {
			t.Errorf("what came before the end was not said:\n%s", log.text.String())
		}
	})
}

func TestWhatNobodyMissesIsNotLogged(t *testing.T) {
	var c tally.Counter
	p, _, out := still(t, func(o *Options) {
		connections(o, 1)
		o.Conn.Tally = &c
	})
	for _, reason := range harmless {
		c.Skip(reason)
	}
	if p.saySkipped(); out.Len() > 0 {
		t.Errorf("the log: %s", out)
	}
	c.Skip("late")
	c.Skip("a_new_reason")
	c.Skip("too_big")
	p.saySkipped()
	if line := out.String(); !strings.HasSuffix(line, "feed=f skipped.a_new_reason=1 skipped.too_big=1\n") {
		t.Errorf("the log: %s", line)
	}
	if p.saySkipped(); strings.Count(out.String(), "\n") != 1 {
		t.Errorf("said twice: %s", out)
	}
}

// Each reader and protocol has words of its own; their series must be there before anything was skipped.
func TestEveryReasonOfEveryReaderIsListed(t *testing.T) {
	word := regexp.MustCompile(`\bskip[A-Z]\w* += "(\w+)"|\bTally\.Skip\("(\w+)"\)`)
	var found []string
	for _, dir := range []string{"protocol", "reader", "resume"} {
		err := filepath.WalkDir("../internal/"+dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			source, err := os.ReadFile(name)
			for _, m := range word.FindAllStringSubmatch(string(source), -1) {
				found = append(found, m[1]+m[2])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	listed := SkipReasons()
	slices.Sort(listed)
	if found = slices.Compact(found); !slices.Equal(found, listed) {
		t.Errorf("the sources have %q, listed are %q", found, listed)
	}
}
