// Package regular reads the files that a configuration names: tokens, certificates, topics, lists. They are regular files and
// nothing else. A pipe in the place of one would have its reader wait for ever, and a device might never end.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Credential begins what stands in the place of the name of a file that systemd would hand over, and did not.
const Credential = "credential:"

// What is longer is the wrong file, in bytes: Small is more than any secret or login has, Large more than any configuration or
// list of authorities.
const (
	Small = 64 << 10
	Large = 1 << 20
)

// ErrNotHandedOver is the error of a file that begins with Credential.
var ErrNotHandedOver = errors.New("systemd did not hand it over ($CREDENTIALS_DIRECTORY is not set)")

// Open opens the regular file of this name to be read, and says what it is like. It never waits for a writer.
func Open(name string) (*os.File, fs.FileInfo, error) {
	if credential, ok := strings.CutPrefix(name, Credential); ok {
		return nil, nil, fmt.Errorf("credential %s: %w", credential, ErrNotHandedOver)
	}
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// Read reads the regular file of this name, which has limit bytes at most.
func Read(name string, limit int64) ([]byte, error) {
	file, _, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return All(file, limit)
}

// All reads an open file to its end, which is not past limit bytes. It waits for as long as reading does.
func All(file *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = TooLong(file.Name(), limit)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// TooLong is the error of what has more than limit bytes.
func TooLong(name string, limit int64) error {
	if limit%(1<<20) == 0 {
		return fmt.Errorf("%s is longer than %d MiB", name, limit>>20)
	}
	return fmt.Errorf("%s is longer than %d KiB", name, limit>>10)
}
