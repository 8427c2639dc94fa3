package local

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are bodies of about 1 MiB each, all of which want much to be made of little. Most is how many bytes may be allocated
// for one of theirs: those that are refused at a topic cost no more than to be read and copied.
var hostile = map[string]struct {
	body string
	most uint64
}{
	"lists as topics":       {filled(`{"topics":[`, `[],`, `[]]}`), 4},
	"objects as topics":     {filled(`{"topics":[`, `{"":0},`, `{"":0}]}`), 4},
	"a list in a list":      {filled(`{"topics":[[`, `[],`, `[]]]}`), 4},
	"fields":                {filled(`{`, `"x":[],`, `"x":[]}`), 4},
	"lists in a topic":      {filled(`{"topics":[{"topic":"a","x":[`, `[],`, `[]]}]}`), 4},
	"objects in a topic":    {filled(`{"topics":[{"topic":"a","x":[`, `{"":0},`, `{"":0}]}]}`), 4},
	"a name that is long":   {filled(`{"topics":[{"`, `x`, `":null}]}`), 8},
	"a number that is long": {filled(`{"topics":[{"x":`, `9`, `}]}`), 8},
	"a long name twice":     {long(`{"topics":["%[1]s","%[1]s"]}`), 16},
	"topics":                {numbered(`"%d"`), 100},
	"topics with options":   {numbered(`{"topic":"%d","":{"":{"":{"":{"":0}}}}}`), 100},
}

func filled(begin, middle, end string) string {
	return begin + strings.Repeat(middle, (maxBody-len(begin)-len(end))/len(middle)) + end
}

func long(format string) string { return fmt.Sprintf(format, strings.Repeat("x", maxBody/2-20)) }

func numbered(topic string) string {
	var b strings.Builder
	for i := range 1 << 20 {
		next := fmt.Sprintf(topic, i)
		if b.Len()+len(next) > maxBody-20 {
			break
		}
		b.WriteString(next + ",")
	}
	return `{"topics":[` + strings.TrimSuffix(b.String(), ",") + `]}`
}

func TestAHostileBodyCostsASmallMultipleOfItsSize(t *testing.T) {
	for name, c := range hostile {
		body := []byte(c.body)
		if len(body) > maxBody || len(body) < maxBody*9/10 {
			t.Fatalf("%s: the body has %d bytes", name, len(body))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		topics, err := topicsIn(body)
		runtime.ReadMemStats(&after)
		cost := (after.TotalAlloc - before.TotalAlloc) / uint64(len(body))
		t.Logf("%s: %d bytes for each of the body, %d topics", name, cost, len(topics))
		if cost > c.most {
			t.Errorf("%s: %d bytes were allocated for each of the body, want at most %d", name, cost, c.most)
		}
		if bad := c.most <= 16; bad != (err != nil) {
			t.Errorf("%s: %v", name, err)
		} else if bad && len(err.Error()) > 500 {
			t.Errorf("%s: the refusal is %d bytes long", name, len(err.Error()))
		}
	}
}

// slowly is a daemon that takes its time for a change, and counts how many it is given at once.
type slowly struct {
	fake
	delay     time.Duration
	now, most int
}

func (s *slowly) ChangeTopics(ctx context.Context, _ string, _ Change) (ChangeResult, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(s.delay):
		return ChangeResult{}, nil
	case <-ctx.Done():
		return ChangeResult{}, ctx.Err()
	}
}

func TestOneChangeIsReadAndMadeAtATime(t *testing.T) {
	f := &slowly{delay: time.Millisecond}
	s := serveDaemon(t, &f.fake, f)
	answers := make(chan error, 16)
	for range cap(answers) {
		go func() {
			_, err := s.client().ChangeTopics(t.Context(), Change{Feed: "twitch", Verb: Add, Topics: []Topic{{Name: "a"}}})
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if f.most != 1 {
		t.Errorf("%d changes were in memory at once", f.most)
	}
}

func BenchmarkHostileBodies(b *testing.B) {
	for name, c := range hostile {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				topicsIn([]byte(c.body))
			}
		})
	}
}
