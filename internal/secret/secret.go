package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"feedmux/internal/lookout"
)

// maxSize is more than any secret has: what is longer is the wrong file.
const maxSize = 64 << 10

// ErrEmpty is the error of a source in which there is nothing but white space.
var ErrEmpty = errors.New("there is nothing in it")

// Source says where a secret is kept: in the file, or else in the environment variable. With neither there is no secret.
type Source struct{ File, Env string }

// Secret is what its source held last. Its methods may be called from any goroutine.
type Secret struct {
	source Source
	log    func(err error) // nil: nobody wants to know

	// Tests change these.
	poll, rest time.Duration
	newWatcher func() (*fsnotify.Watcher, error)

	mu    sync.Mutex // held while the source is read too: an older reading never replaces a newer one
	good  string     // the last good value; "" before the first
	asked bool       // the source was read
	told  []string   // the errors logged since it was last good; few: one source, and so many ways to fail
}

// New reads nothing yet. log may be nil. It is called with an error in reading the source once, until the source was
// good again, from the goroutine that read: that of a caller of Value, or of Watch.
func New(s Source, log func(err error)) *Secret {
	return &Secret{source: s, log: log, poll: lookout.Poll, rest: lookout.Rest, newWatcher: fsnotify.NewWatcher}
}

// Value reads the secret anew, without the white space around it. While the source is empty or cannot be read, it is the
// last good value, and only log hears of the error; where there was none yet, it is "" and the error. Without a source
// it is "" and no error.
func (s *Secret) Value() (string, error) {
	if s.source == (Source{}) {
		return "", nil
	}
	value, news, err := s.read()
	if news && s.log != nil {
		s.log(err)
	}
	if value != "" {
		return value, nil
	}
	return "", err
}

// read gives the value that counts now, why it is not a new one, and whether that is news.
func (s *Secret) read() (value string, news bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	switch value, err = s.source.read(); {
	case err == nil:
		s.good, s.told = value, nil
	case !slices.Contains(s.told, err.Error()):
		s.told = append(s.told, err.Error())
		news = true
	}
	return s.good, news, err
}

// last is what Value gave last, if it was asked.
func (s *Secret) last() (value string, asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.asked
}

func (s Source) read() (string, error) {
	var text []byte
	var err error
	name := s.File
	if s.File != "" {
		text, err = readFile(s.File)
	} else {
		value, set := os.LookupEnv(s.Env)
		if !set {
			err = fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		name, text = s.Env, []byte(value)
	}
	if err == nil && len(text) > maxSize {
		err = fmt.Errorf("%s is longer than %d KiB", name, maxSize>>10)
	}
	value := strings.TrimSpace(string(text))
	if err == nil && value == "" {
		err = fmt.Errorf("%s: %w", name, ErrEmpty)
	}
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	return value, nil
}

// readFile reads one byte past maxSize at most. It never waits: a pipe in the place of a file is refused.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return io.ReadAll(io.LimitReader(f, maxSize+1))
}
