package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhatIsSavedIsLoadedAlsoByTheNextProcess(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var v value
	if err := d.Load("whole", &v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first Save: %v", err)
	}
	for n := range 5 {
		save(t, d, "whole", record(n))
		if err := d.Load("whole", &v); err != nil || v != record(n) {
			t.Errorf("value %d (%v), want %d", v.N, err, n)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var next value
	if err := open(t, dir).Load("whole", &next); err != nil || next != record(4) {
		t.Errorf("after another Open: value %d (%v), want 4", next.N, err)
	}
	if got := files(t, dir); got != "state.lock whole" {
		t.Errorf("there are %s", got)
	}
}

func TestADamagedFileIsSetAsideAndSaid(t *testing.T) {
	whole, err := json.Marshal(record(3))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty":         {},
		"truncated":     whole[:len(whole)/2],
		"zeros":         make([]byte, 4096),
		"more behind":   append(whole[:len(whole):len(whole)], "{}"...),
		"another type":  []byte(`{"N":3,"Fill":4}`),
		"no such thing": []byte("[1,2]"),
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			file := filepath.Join(d.Path(), "whole")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			v := value{N: 7}
			err := d.Load("whole", &v)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "set aside as whole.bad") {
				t.Error(err)
			}
			if v != (value{N: 7}) {
				t.Errorf("the value became %+.20v", v)
			}
			if kept, err := os.ReadFile(file + bad); err != nil || string(kept) != string(text) {
				t.Errorf("set aside are %d bytes (%v), want the %d that were there", len(kept), err, len(text))
			}
			if err := d.Load("whole", &v); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the second time: %v", err)
			}
			save(t, d, "whole", record(1))
			if err := d.Load("whole", &v); err != nil || v != record(1) {
				t.Errorf("afterwards: %+.20v, %v", v, err)
			}
		})
	}
}

func TestWhatIsTooLongIsNeitherReadNorSaved(t *testing.T) {
	d := open(t, t.TempDir())
	d.maxSize = 10
	const fits = 10 - len(`""`)
	save(t, d, "long", strings.Repeat("x", fits))
	if err := d.Save("long", strings.Repeat("x", fits+1)); err == nil {
		t.Error("saved")
	}
	var v string
	if err := d.Load("long", &v); err != nil || len(v) != fits {
		t.Errorf("%q, %v", v, err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), "long"), []byte(`"`+strings.Repeat("x", fits+1)+`"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Load("long", &v); err == nil || !strings.Contains(err.Error(), "longer than 10 bytes") {
		t.Error(err)
	}
}

func TestAFileThatCannotBeReadStaysWhereItIs(t *testing.T) {
	d := open(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(d.Path(), "whole"), 0o700); err != nil {
		t.Fatal(err)
	}
	var v value
	if err := d.Load("whole", &v); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if got := files(t, d.Path()); got != "state.lock whole" {
		t.Errorf("there are %s", got)
	}
}

func TestAReaderFindsTheOldValueOrTheNewOne(t *testing.T) {
	d := open(t, t.TempDir())
	save(t, d, "whole", record(0))
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		last := 0
		for looks := 0; ; looks++ {
			select {
			case <-done:
				if last == 0 {
					t.Errorf("in %d looks the reader saw nothing new", looks)
				}
				return
			default:
			}
			text, err := os.ReadFile(filepath.Join(d.Path(), "whole")) // without our lock
			var v value
			if err = errors.Join(err, json.Unmarshal(text, &v)); err != nil || !v.whole() || v.N < last {
				t.Errorf("value %d after %d, whole: %v (%v)", v.N, last, v.whole(), err)
				return
			}
			last = v.N
		}
	})
	for n := range 50 {
		save(t, d, "whole", record(n))
	}
	close(done)
	reader.Wait()
}

// TestAProcessMayBeKilledAtAnyMoment goes on until it has hit, twice, the time between the first byte and the rename.
func TestAProcessMayBeKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	next := filepath.Join(dir, "whole"+saving)
	for round, hits := 0, 0; hits < 2; round++ {
		if round == 100 {
			t.Fatalf("%d of %d kills came between the first byte and the rename, want 2", hits, round)
		}
		cmd, lines := child(t, "save", dir)
		said := -1
		for range 1 + round%5 {
			n, err := strconv.Atoi(line(t, lines))
			if err != nil {
				t.Fatal(lines.Text())
			}
			said = n
		}
		for began := time.Now(); time.Since(began) < 100*time.Millisecond; { // it saves all the time
			if _, err := os.Lstat(next); err == nil {
				break
			}
		}
		kill(t, cmd)
		if _, err := os.Lstat(next); err == nil {
			hits++
		}

		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var v value
		if err := d.Load("whole", &v); err != nil || !v.whole() || v.N < said {
			t.Errorf("value %d, whole: %v (%v), after Save returned for %d", v.N, v.whole(), err, said)
		}
		if got := files(t, dir); got != "state.lock whole" {
			t.Errorf("there are %s", got)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d hits", round, hits)
	}
}

func TestManySaveAtOnce(t *testing.T) {
	d := open(t, t.TempDir())
	var all sync.WaitGroup
	for who := range 8 {
		all.Go(func() {
			own := fmt.Sprintf("own-%d", who)
			for n := range 4 {
				save := errors.Join(d.Save(own, record(n)), d.Save("shared", record(100*who+n)))
				var v, shared value
				if err := errors.Join(save, d.Load(own, &v), d.Load("shared", &shared)); err != nil {
					t.Error(err)
					return
				}
				if v != record(n) || !shared.whole() {
					t.Errorf("own value %d, want %d; the shared one is whole: %v", v.N, n, shared.whole())
				}
			}
		})
	}
	all.Wait()
}

func TestWhatIsSavedAlreadyIsNotWrittenAgain(t *testing.T) {
	d := open(t, t.TempDir())
	file := filepath.Join(d.Path(), "whole")
	inode := func() os.FileInfo {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	save(t, d, "whole", record(1))
	first := inode()
	save(t, d, "whole", record(1))
	if !os.SameFile(first, inode()) {
		t.Error("the same value was written again")
	}
	if err := os.Rename(file, file+".moved"); err != nil {
		t.Fatal(err)
	}
	save(t, d, "whole", record(1))
	if again := inode(); os.SameFile(first, again) || again.Size() != first.Size() {
		t.Error("a file that was taken away was not written again")
	}
	save(t, d, "whole", record(2))
	save(t, d, "whole", record(1))
	var v value
	if err := d.Load("whole", &v); err != nil || v != record(1) {
		t.Errorf("value %d (%v), want 1: an older value was taken for saved", v.N, err)
	}
}

// wantOld checks that a failed Save left everything as it was, and that the same Save succeeds once it can.
func wantOld(t *testing.T, d *Dir, old value) {
	t.Helper()
	var v value
	if err := d.Load("whole", &v); err != nil || v != old {
		t.Errorf("value %d (%v), want the old one, %d", v.N, err, old.N)
	}
}

func TestASaveThatCannotWriteLeavesTheOldValue(t *testing.T) {
	d := open(t, t.TempDir())
	save(t, d, "whole", record(1))
	obstacle := filepath.Join(d.Path(), "whole"+saving)
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Save("whole", record(2)); err == nil {
		t.Error("no error")
	}
	wantOld(t, d, record(1))
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	save(t, d, "whole", record(2))
	wantOld(t, d, record(2))
}

func TestAFailedRenameLeavesNothingBehind(t *testing.T) {
	d := open(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(d.Path(), "whole"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Save("whole", record(2)); err == nil {
		t.Error("no error")
	}
	if got := files(t, d.Path()); got != "state.lock whole" {
		t.Errorf("there are %s", got)
	}
}

func TestAFullDiskLeavesTheOldValue(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	save(t, d, "whole", record(1))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, lines := child(t, "fill the disk", dir)
	if got := line(t, lines); !strings.HasPrefix(got, "saved with: saving state: ") {
		t.Error(got)
	}
	if got := line(t, lines); got != "small one saved with: <nil>" {
		t.Error(got)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != "small state.lock whole" {
		t.Errorf("there are %s", got)
	}
	wantOld(t, open(t, dir), record(1))
}

func TestADirectoryThatIsGoneOrReadOnlyIsAnError(t *testing.T) {
	d := open(t, t.TempDir())
	save(t, d, "whole", record(1))
	if os.Geteuid() != 0 { // root may write everywhere
		if err := os.Chmod(d.Path(), 0o500); err != nil {
			t.Fatal(err)
		}
		if err := d.Save("whole", record(2)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("read-only: %v", err)
		}
		wantOld(t, d, record(1))
		if err := os.Chmod(d.Path(), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(d.Path()); err != nil {
		t.Fatal(err)
	}
	if err := d.Save("whole", record(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

func TestWhatCannotBeJSONIsNotSaved(t *testing.T) {
	d := open(t, t.TempDir())
	save(t, d, "whole", record(1))
	if err := d.Save("whole", make(chan int)); err == nil {
		t.Error("no error")
	}
	wantOld(t, d, record(1))
}

func BenchmarkSave(b *testing.B) {
	d, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for n := 0; b.Loop(); n++ {
		if err := d.Save("dials", [2]int{n, n}); err != nil {
			b.Fatal(err)
		}
	}
}
