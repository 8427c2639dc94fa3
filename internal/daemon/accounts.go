package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/protocol"
	"feedmux/internal/state"
)

// accounts are what the upstreams count by. Feeds that name the same account share one. They outlive their feeds: an upstream
// goes on counting what a feed had that is gone.
type accounts map[string]*counted

// counted is one account.
type counted struct {
	*account.Account
	figures figures
	free    []*account.Share // of feeds that are gone
}

// figures are what an account was made with. Others need a restart.
type figures struct {
	connections, inFlight int
	dials                 config.Rate
	hold                  time.Duration
}

// share gives a feed its share of its account, which is made for the first feed that asks.
func (a accounts) share(f *config.Feed, limits protocol.Limits, dir *state.Dir, log *slog.Logger) (*account.Share, error) {
	want := figures{f.Limits.Connections, f.Dial.InFlight, f.Dial.Rate, f.Limits.Hold}
	if f.Shared != nil {
		want.connections = f.Shared.Connections
	}
	of := a[f.Account]
	if of == nil {
		of = &counted{figures: want, Account: account.New(account.Options{
			Name: f.Account, Connections: want.connections,
			Dials: Window(want.dials), InFlight: want.inFlight, Hold: want.hold,
			Backoff: backoffOf(f, limits), Seed: seed(),
			Journal: newJournal(f.Account, dir, log),
		})}
		a[f.Account] = of
	}
	if of.figures != want {
		return nil, fmt.Errorf("its account %s is in use with other figures: a restart changes them", f.Account)
	}
	for i, s := range of.free {
		if s.Limit() == f.Limits.Connections {
			of.free = slices.Delete(of.free, i, i+1)
			return s, nil
		}
	}
	return of.Join(f.Name, f.Limits.Connections)
}

// part takes the share of a feed that is gone, for another one like it.
func (a accounts) part(s *account.Share) {
	of := a[s.Account().Name()]
	of.free = append(of.free, s)
}

// journal keeps an account's dial times in the state directory, so that restarting again and again spends nothing extra.
type journal struct {
	account string
	dir     *state.Dir
	file    string
	log     *slog.Logger
	said    *rate.Limiter
}

// attempts is the journal's file.
type attempts struct {
	Account  string            `json:"account"` // for people
	Attempts []account.Attempt `json:"attempts"`
}

func newJournal(name string, dir *state.Dir, log *slog.Logger) *journal {
	return &journal{
		account: name, dir: dir, file: stateFile("dials", name), log: log,
		said: rate.NewLimiter(rate.Every(time.Minute), 1),
	}
}

// stateFile is the name of a file in the state directory about the thing that is called name.
func stateFile(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%s.json", kind, hex.EncodeToString(sum[:8]))
}

// Load reads what the last run dialled.
func (j *journal) Load() ([]account.Attempt, error) {
	var a attempts
	err := j.dir.Load(j.file, &a)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		j.log.Warn("the dial times of the last run cannot be read: the dial budget counts as just spent",
			"account", j.account, "error", err)
	}
	return a.Attempts, err
}

// Save writes what counts in the budget now.
func (j *journal) Save(list []account.Attempt) {
	err := j.dir.Save(j.file, attempts{j.account, list})
	if err != nil && j.said.Allow() {
		j.log.Warn("the dial times cannot be kept: a restart would not know of them", "account", j.account, "error", err)
	}
}
