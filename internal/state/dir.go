package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

const (
	lockName = "state.lock"
	saving   = ".saving"
	bad      = ".bad"

	// maxSize bounds what Load takes into memory. Save refuses what Load would not read.
	maxSize = 64 << 20
)

// ErrLocked is the error of Open when another process has the directory, or this one has it already.
var ErrLocked = errors.New("another feedmux runs with this state directory")

// Dir is a state directory that this process has for itself. Its methods may be called from any goroutine.
type Dir struct {
	path    string
	lock    *flock.Flock
	maxSize int64 // tests have a smaller one

	mu     sync.Mutex // held while a file is read or written
	closed bool
	known  map[string]sum // of the content of the files that were saved; as many as there are names
}

// Open makes the directory at path where there is none, for its owner alone, and takes it for this process, or fails
// with ErrLocked. It removes what a crash left half written.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	d := &Dir{
		path:    path,
		lock:    flock.New(filepath.Join(path, lockName), flock.SetPermissions(0o600)),
		maxSize: maxSize,
		known:   make(map[string]sum),
	}
	switch locked, err := d.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("locking the state directory: %w", err)
	case !locked:
		return nil, fmt.Errorf("locking the state directory %s: %w%s", path, ErrLocked, d.holder())
	}
	// The id is only for the text of another's error, and a full disk no reason not to start.
	_ = os.WriteFile(d.lock.Path(), []byte(strconv.Itoa(os.Getpid())), 0o600)
	if err := d.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("cleaning the state directory: %w", err), d.Close())
	}
	return d, nil
}

// Close waits for what is being saved and gives the directory free. After it Load and Save fail with os.ErrClosed.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if err := d.lock.Unlock(); err != nil {
		return fmt.Errorf("unlocking the state directory: %w", err)
	}
	return nil
}

// Path is the directory as Open was given it.
func (d *Dir) Path() string { return d.path }

// holder says which process has the directory, as far as that can be read.
func (d *Dir) holder() string {
	f, err := os.Open(d.lock.Path())
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 20))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// clean removes what Save was writing when an earlier process died.
func (d *Dir) clean() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, leftover := strings.CutSuffix(e.Name(), saving)
		if leftover && checkName(name) == nil && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(d.path, e.Name())))
		}
	}
	return err
}

// file is the path of the file called name, if Load and Save may use it now. The caller holds mu.
func (d *Dir) file(name string) (string, error) {
	if d.closed {
		return "", os.ErrClosed
	}
	return filepath.Join(d.path, name), checkName(name)
}

// checkName lets through what is one plain file on every system, also where upper case is the same as lower case, and
// what is none of our own files.
func checkName(name string) error {
	strange := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_.", r) }
	switch {
	case name == "" || len(name) > 100:
		return fmt.Errorf("the name %.100q has not 1 to 100 characters", name)
	case name[0] == '.' || strings.ContainsFunc(name, strange):
		return fmt.Errorf("the name %q is not of a-z, 0-9, -, _ and . alone, or begins with a dot", name)
	case name == lockName || strings.HasSuffix(name, saving) || strings.HasSuffix(name, bad):
		return fmt.Errorf("the name %q is that of another kind of file", name)
	}
	return nil
}
