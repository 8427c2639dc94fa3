package secret

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"feedmux/internal/regular"
)

// ErrEmpty is the error of a source in which there is nothing but white space.
var ErrEmpty = errors.New("there is nothing in it")

// Source says where a secret comes from: the file, or else the environment variable, or else what the command prints. With
// none of them there is no secret. A file that systemd hands over (a credential) is a copy made when the service started:
// it is no place for a token that changes daily.
type Source struct {
	File, Env string
	Command   []string // a program and its arguments; no shell reads them
}

// IsZero says whether there is no source.
func (s Source) IsZero() bool { return s.Equal(Source{}) }

// Equal says whether both are the same place.
func (s Source) Equal(o Source) bool {
	return s.File == o.File && s.Env == o.Env && slices.Equal(s.Command, o.Command)
}

// String is the source in words that people may see: of a command, the program alone.
func (s Source) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "variable " + s.Env
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	}
	return "nothing"
}

// Check says why there is no secret now. It runs no command: of one it only says whether the program is there.
func (s Source) Check() error {
	if s.IsZero() {
		return nil
	}
	if !s.isCommand() {
		_, err := s.read()
		return err
	}
	if _, err := exec.LookPath(s.Command[0]); err != nil {
		return s.failed(err)
	}
	return nil
}

// isCommand says whether the secret is what a command prints.
func (s Source) isCommand() bool { return s.File == "" && s.Env == "" && len(s.Command) > 0 }

// failed is the error of a command that brought no secret.
func (s Source) failed(err error) error {
	return fmt.Errorf("getting a secret by the command %s: %w", s.Command[0], err)
}

// read reads the file or the variable.
func (s Source) read() (string, error) {
	var text []byte
	var err error
	name := s.File
	if s.File != "" {
		text, err = regular.Read(s.File, regular.Small)
	} else {
		value, set := os.LookupEnv(s.Env)
		if !set {
			err = fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		name, text = s.Env, []byte(value)
	}
	if err == nil && len(text) > regular.Small {
		err = regular.TooLong(name, regular.Small)
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
