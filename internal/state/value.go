package state

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
)

type sum = [sha256.Size]byte

// Load reads the value called name into what v points to. On an error that is left as it was. The error is
// fs.ErrNotExist where nothing was saved. A file that does not hold such a value is renamed to NAME.bad, in the place of
// an earlier one, so that the next Save does not destroy it: the daemon can go on without, and a person can look.
func (d *Dir) Load(name string, v any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, err := d.file(name)
	if err != nil {
		return fmt.Errorf("loading state: %w", err)
	}
	text, err := read(file, d.maxSize)
	if err != nil {
		return fmt.Errorf("loading state: %w", err)
	}
	if err = d.checkSize(text); err == nil {
		err = decode(text, v)
	}
	if err != nil {
		aside := "set aside as " + name + bad
		if failed := os.Rename(file, file+bad); failed != nil {
			aside = fmt.Sprintf("not set aside: %v", failed)
		}
		return fmt.Errorf("loading state: %s is damaged, or of another version (%s): %w", file, aside, err)
	}
	return nil
}

// read reads one byte more than limit at most.
func read(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// decode sets what v points to, or leaves it alone. It decodes into a new value first, since a text that breaks off at
// the wrong type would leave half of itself.
func decode(text []byte, v any) error {
	to := reflect.ValueOf(v).Elem()
	fresh := reflect.New(to.Type())
	if err := json.Unmarshal(text, fresh.Interface()); err != nil {
		return err
	}
	to.Set(fresh.Elem())
	return nil
}

// Save makes v the value called name. It waits for the disk, so it is nothing for a loop that must turn. What is saved
// already is not written again. After an error the old value stands, except if only the directory could not be brought
// to the disk: then it is the new one, but might be the old one again after a loss of power.
func (d *Dir) Save(name string, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		err = d.checkSize(text)
	}
	if err != nil {
		return fmt.Errorf("saving state: %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	file, err := d.file(name)
	if err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	hash := sha256.Sum256(text)
	if known, saved := d.known[name]; saved && known == hash && exists(file) {
		return nil
	}
	delete(d.known, name)
	if err := replace(file, text); err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	d.known[name] = hash
	return nil
}

func (d *Dir) checkSize(text []byte) error {
	if int64(len(text)) > d.maxSize {
		return fmt.Errorf("it is longer than %d bytes", d.maxSize)
	}
	return nil
}

// exists lets a file that somebody took away be written again.
func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// replace gives file the content text at one stroke.
func replace(file string, text []byte) error {
	next := file + saving
	if err := writeThrough(next, text); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncDir(filepath.Dir(file))
}

// writeThrough returns when text is on the disk: a rename that is on the disk before it would leave an empty file.
func writeThrough(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// syncDir brings the names in a directory to the disk, where the file system knows how.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
