package limiter

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Bounds of a Window: a budget has memory for each of its N attempts, and its arithmetic, which is in floating point,
// is exact to the nanosecond for windows of up to some days.
const (
	maxAttempts = 10_000
	maxPer      = 24 * time.Hour
)

// Window is a rate that is counted strictly: at most N attempts in any stretch of time of length Per.
type Window struct {
	N   int           // 1 to 10,000
	Per time.Duration // above zero, at most a day
}

func (w Window) check() error {
	switch {
	case w.N < 1:
		return errors.New("the number must be at least 1")
	case w.N > maxAttempts:
		return fmt.Errorf("the number must be at most %d", maxAttempts)
	case w.Per <= 0:
		return errors.New("the duration must be above zero")
	case w.Per > maxPer:
		return errors.New("the duration must be at most 24h")
	}
	return nil
}

// String is the form N/DURATION, as in "1/2s" or "10/1s".
func (w Window) String() string {
	per := w.Per.String()
	if strings.HasSuffix(per, "m0s") {
		per = strings.TrimSuffix(per, "0s")
	}
	if strings.HasSuffix(per, "h0m") {
		per = strings.TrimSuffix(per, "0m")
	}
	return fmt.Sprintf("%d/%s", w.N, per)
}

// After is how long it takes until the n-th attempt, counted from zero, may begin, if no attempt takes any time and
// none was made before.
func (w Window) After(n int) time.Duration {
	windows := time.Duration(n / w.N)
	if windows > math.MaxInt64/w.Per {
		return math.MaxInt64
	}
	return windows * w.Per
}
