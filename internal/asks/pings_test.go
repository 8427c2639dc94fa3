package asks

import (
	"testing"
	"time"
)

func TestALifeIsDeadWhenNothingCameAfterAPing(t *testing.T) {
	now := time.Now()
	later := now.Add(10 * time.Second)
	for _, tt := range []struct {
		name     string
		lastRead time.Time
		ponged   bool
		now      time.Time
		want     bool
	}{
		{"before the time-out", now, false, later.Add(-1), false},
		{"nothing came", now, false, later, true},
		{"nothing came since before", now.Add(-time.Hour), false, later, true},
		{"data came, no pong", now.Add(1), false, later, false},
		{"a pong came", now, true, later, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Pings
			p.Written(now, 10*time.Second)
			if tt.ponged && !p.Answered() {
				t.Fatal("an answer to the newest ping is not taken as one")
			}
			if got := p.Dead(tt.now, tt.lastRead); got != tt.want {
				t.Errorf("dead = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestThreeMissingPongsInARowEndALifeThoughDataFlows(t *testing.T) {
	now := time.Now()
	var p Pings
	round := func(answered bool) bool {
		now = now.Add(45 * time.Second)
		p.Written(now, 10*time.Second)
		if answered {
			p.Answered()
		}
		return p.Dead(now.Add(10*time.Second), now.Add(time.Second))
	}
	for i, answered := range []bool{false, false, true, false, false} {
		if round(answered) {
			t.Fatalf("dead after round %d: the answer in between was forgotten", i)
		}
	}
	if !round(false) {
		t.Error("not dead after three missing in a row")
	}
}

func TestASecondAnswerToAPingIsNoAnswer(t *testing.T) {
	var p Pings
	if p.Answered() {
		t.Error("an answer before the first ping was taken")
	}
	p.Written(time.Now(), time.Second)
	if !p.Answered() || p.Answered() {
		t.Error("only the first answer to a ping counts")
	}
}
