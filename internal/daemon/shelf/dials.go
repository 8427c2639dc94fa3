package shelf

import (
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"feedmux/internal/account"
	"feedmux/internal/state"
)

// Journal keeps an account's dial times in the state directory, so that restarting again and again spends nothing extra.
type Journal struct {
	account string
	file    Value
	log     *slog.Logger
	said    *rate.Limiter
}

// attempts is the file.
type attempts struct {
	Account  string            `json:"account"` // for people
	Attempts []account.Attempt `json:"attempts"`
}

// NewJournal is that of the account of this name.
func NewJournal(name string, dir *state.Dir, log *slog.Logger) *Journal {
	return &Journal{
		account: name, file: Value{dir, "dials", name}, log: log,
		said: rate.NewLimiter(rate.Every(time.Minute), 1),
	}
}

// Load reads what the last run dialled.
func (j *Journal) Load() ([]account.Attempt, error) {
	var a attempts
	err := j.file.Load(&a)
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
func (j *Journal) Save(list []account.Attempt) {
	err := j.file.Save(attempts{j.account, list})
	if err != nil && j.said.Allow() {
		j.log.Warn("the dial times cannot be kept: a restart would not know of them", "account", j.account, "error", err)
	}
}
