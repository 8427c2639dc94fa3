package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/account"
	"feedmux/internal/config"
	"feedmux/internal/protocol"
	"feedmux/internal/state"
)

// accounts are what the upstreams count by, by name. Feeds that name the same account share one.
type accounts map[string]*account.Account

// share gives a feed its share of its account, which is made for the first feed that asks.
func (a accounts) share(f *config.Feed, limits protocol.Limits, dir *state.Dir, log *slog.Logger) (*account.Share, error) {
	of := a[f.Account]
	if of == nil {
		connections := f.Limits.Connections
		if f.Shared != nil {
			connections = f.Shared.Connections
		}
		of = account.New(account.Options{
			Name: f.Account, Connections: connections,
			Dials: Window(f.Dial.Rate), InFlight: f.Dial.InFlight, Hold: f.Limits.Hold,
			Backoff: backoffOf(f, limits), Seed: seed(),
			Journal: newJournal(f.Account, dir, log),
		})
		a[f.Account] = of
	}
	return of.Join(f.Name, f.Limits.Connections)
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
