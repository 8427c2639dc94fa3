// Package natscontext reads the contexts of the nats command: named files in a user's configuration that say where NATS is
// and how to log in there.
package natscontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Context is what a context says. Names of files are ready to be opened; "" is none. Password and Token are secrets, and URL
// and SocksProxy may hold some.
type Context struct {
	URL string // servers separated by commas

	// One way to log in at most, that which the nats command would use: User, else Creds, else NKey. A Token may be there
	// beside it.
	User, Password string
	Creds          string // a file of a JWT and its key
	NKey           string // a file of a seed
	Token          string

	CA, Cert, Key string // files
	TLSFirst      bool   // TLS before the server says anything

	InboxPrefix string // "" is the usual one
	SocksProxy  string // a URL to connect through; "" is none
}

// usualURL is where the nats command connects to unless told otherwise.
const usualURL = "nats://127.0.0.1:4222"

// maxSize is more than any context has, in bytes.
const maxSize = 64 << 10

// File is where the context is that is called name: in $XDG_CONFIG_HOME, or else in ~/.config.
func File(name string) (string, error) {
	if name == "" || strings.Contains(name, "..") || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%q cannot be the name of a NATS context", name)
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("looking for NATS context %s: XDG_CONFIG_HOME is not set, and %w", name, err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "nats", "context", name+".json"), nil
}

// Read reads the context that is called name. What is set in it and not understood here is an error: without it the
// connection might be another one than is meant. Errors hold no secret.
func Read(name string) (Context, error) {
	path, err := File(name)
	if err != nil {
		return Context{}, err
	}
	data, err := readFile(path)
	if err != nil {
		return Context{}, fmt.Errorf("reading NATS context %s: %w", name, err)
	}
	c, err := parse(data)
	if err != nil {
		return Context{}, fmt.Errorf("reading NATS context %s: %s: %w", name, path, err)
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("%s is longer than %d KiB", path, maxSize>>10)
	}
	return data, err
}

// without are the fields that change nothing of how to connect.
var without = []string{
	"name", "description", "color_scheme", "jetstream_domain", "jetstream_api_prefix", "jetstream_event_prefix",
}

// parse reads the fields one by one: an error of the JSON package may quote what it stumbled over.
func parse(data []byte) (c Context, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return c, fmt.Errorf("no JSON from byte %d on", syntax.Offset)
		}
		return c, errors.New("no JSON object")
	}
	texts := map[string]*string{
		"url": &c.URL, "user": &c.User, "password": &c.Password, "creds": &c.Creds, "nkey": &c.NKey, "token": &c.Token,
		"ca": &c.CA, "cert": &c.Cert, "key": &c.Key, "inbox_prefix": &c.InboxPrefix, "socks_proxy": &c.SocksProxy,
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[name]
		switch p := texts[name]; {
		case p != nil:
			if json.Unmarshal(raw, p) != nil {
				return c, fmt.Errorf("%s must be a string", name)
			}
		case name == "tls_first":
			if json.Unmarshal(raw, &c.TLSFirst) != nil {
				return c, errors.New("tls_first must be true or false")
			}
		case !slices.Contains(without, name) && !empty(raw):
			return c, fmt.Errorf("it has %s, which feedmux does not know", name)
		}
	}
	return c.settled()
}

// empty says that a field is as good as not there.
func empty(raw json.RawMessage) bool {
	return slices.Contains([]string{`""`, "null", "false", "[]", "{}"}, string(raw))
}

// settled has the login that counts, and the files' names at full length.
func (c Context) settled() (Context, error) {
	switch {
	case c.User != "":
		c.Creds, c.NKey = "", ""
	case c.Creds != "":
		c.NKey = ""
	}
	if c.User == "" {
		c.Password = ""
	}
	if (c.Cert == "") != (c.Key == "") {
		return c, errors.New("cert and key go together, and one of them is missing")
	}
	if c.URL == "" {
		c.URL = usualURL
	}
	c.Creds = os.ExpandEnv(c.Creds)
	for _, p := range []*string{&c.Creds, &c.NKey, &c.CA, &c.Cert, &c.Key} {
		if rest, ok := strings.CutPrefix(*p, "~"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return c, fmt.Errorf("finding %s: %w", *p, err)
			}
			*p = home + rest
		}
	}
	return c, nil
}
