package shelf

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/sink"
	"feedmux/internal/state"
	"feedmux/pool"
	"feedmux/shard"
)

// onDisk is a state directory, and a log.
func onDisk(t *testing.T) (d disk, text *bytes.Buffer) {
	t.Helper()
	dir, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	text = new(bytes.Buffer)
	return disk{dir, slog.New(slog.NewTextHandler(text, nil))}, text
}

type disk struct {
	*state.Dir
	log *slog.Logger
}

func (d disk) last(feed string) *pool.Snapshot { return Last(d.Dir, feed, d.log) }

func (d disk) mustSave(t *testing.T, name string, v any) {
	t.Helper()
	if err := d.Save(name, v); err != nil {
		t.Fatal(err)
	}
}

func TestASnapshotReachesToTheLastTimeAlive(t *testing.T) {
	d, _ := onDisk(t)
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.mustSave(t, file("feed", "a"), pool.Snapshot{Alive: changed, Confirmed: []shard.Topic{"raid.1"}})
	if s := d.last("a"); s == nil || !s.Alive.Equal(changed) || len(s.Confirmed) != 1 {
		t.Errorf("without the time alive: %+v", s)
	}
	d.mustSave(t, aliveFile, alive{At: changed.Add(time.Hour), Feeds: []string{"a", "b"}})
	if s := d.last("a"); s == nil || !s.Alive.Equal(changed.Add(time.Hour)) {
		t.Errorf("with a later time: %+v", s)
	}
	d.mustSave(t, aliveFile, alive{At: changed.Add(-time.Hour), Feeds: []string{"a", "b"}})
	if s := d.last("a"); s == nil || !s.Alive.Equal(changed) {
		t.Errorf("with an earlier time: %+v", s)
	}
	if s := d.last("b"); s != nil {
		t.Errorf("a feed of which nothing was kept: %+v", s)
	}
}

// Else a feed that comes back after months would claim to have listened until the last restart.
func TestAFeedThatWasNotConfiguredLastTimeHasNoGap(t *testing.T) {
	d, log := onDisk(t)
	d.mustSave(t, file("feed", "a"), pool.Snapshot{Alive: time.Now(), Confirmed: []shard.Topic{"raid.1"}})
	d.mustSave(t, aliveFile, alive{At: time.Now(), Feeds: []string{"b"}})
	if s := d.last("a"); s != nil || log.Len() > 0 {
		t.Errorf("%+v; log: %s", s, log)
	}
}

func TestWhatCannotBeReadIsSaidAndNoReasonToEnd(t *testing.T) {
	d, log := onDisk(t)
	dials := NewJournal("host", d.Dir, d.log)
	for _, name := range []string{file("feed", "a"), dials.file.file()} {
		if err := os.WriteFile(filepath.Join(d.Path(), name), []byte("{\"alive\": tru"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.last("a"); s != nil || !strings.Contains(log.String(), "feed=a") {
		t.Errorf("%+v; log: %s", s, log)
	}
	if _, err := dials.Load(); err == nil || !strings.Contains(log.String(), "account=host") {
		t.Errorf("%v; log: %s", err, log) // without the error the account would take the whole budget for free
	}
}

func TestWhatCannotBeKeptIsSaidOnceAndThatItIsOverToo(t *testing.T) {
	d, log := onDisk(t)
	k := NewKeeper(Options{Log: d.log})
	for _, failure := range []error{nil, errors.New("full"), errors.New("full"), nil, nil} {
		k.say(failure)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || strings.Count(text, "cannot be kept\" error=full") != 1 ||
		strings.Count(text, "is kept again") != 1 {
		t.Errorf("the log:\n%s", text)
	}
}

func TestAJournalGivesBackWhatItWasTold(t *testing.T) {
	d, log := onDisk(t)
	j := NewJournal("host", d.Dir, d.log)
	if list, err := j.Load(); list != nil || err != nil || log.Len() > 0 {
		t.Errorf("the first start: %v, %v; log: %s", list, err, log)
	}
	begin := time.Now().Round(0)
	j.Save([]account.Attempt{{Begin: begin, End: begin.Add(time.Second)}, {Begin: begin.Add(time.Minute)}})
	list, err := NewJournal("host", d.Dir, d.log).Load()
	if err != nil || len(list) != 2 || !list[0].End.Equal(begin.Add(time.Second)) || !list[1].End.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := NewJournal("another", d.Dir, d.log).Load(); list != nil || err != nil {
		t.Errorf("another account: %+v, %v", list, err)
	}
}

func TestTheKeeperSaysThatTheDiskIsFullUntilItCouldWrite(t *testing.T) {
	d, text := onDisk(t)
	k := NewKeeper(Options{Dir: d.Dir, Core: sink.NewCore(sink.Options{Buffer: 1 << 20, Log: d.log}), Feeds: func() []Feed { return nil }, Log: d.log})
	alive := filepath.Join(d.Path(), aliveFile)
	if err := os.MkdirAll(filepath.Join(alive, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.keep(t.Context(), true)
	if k.Failing() == "" || !strings.Contains(text.String(), "cannot be kept") {
		t.Fatalf("failing: %q; the log: %s", k.Failing(), text)
	}
	k.keep(t.Context(), false) // nothing is due
	if k.Failing() == "" || strings.Contains(text.String(), "kept again") {
		t.Error("it is said to work again though nothing was written")
	}
	if err := os.RemoveAll(alive); err != nil {
		t.Fatal(err)
	}
	k.keep(t.Context(), true)
	if k.Failing() != "" || !strings.Contains(text.String(), "kept again") {
		t.Errorf("failing: %q; the log: %s", k.Failing(), text)
	}
}
