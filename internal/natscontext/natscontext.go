// Package natscontext reads the contexts of the nats command: named files in a user's configuration that say where NATS is
// and how to log in there.
package natscontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"feedmux/internal/regular"
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

	SocksProxy string // a URL to connect through; "" is none
}

// usualURL is where the nats command connects to unless told otherwise.
const usualURL = "nats://127.0.0.1:4222"

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
	data, err := regular.Read(path, regular.Small)
	if err != nil {
		return Context{}, fmt.Errorf("reading NATS context %s: %w", name, err)
	}
	c, err := parse(data)
	if err != nil {
		return Context{}, fmt.Errorf("reading NATS context %s: %s: %w", name, path, err)
	}
	return c, nil
}

// without are the fields that change nothing of how to connect: feedmux asks NATS nothing that would be answered in an inbox.
var without = []string{
	"name", "description", "color_scheme", "inbox_prefix", "jetstream_domain", "jetstream_api_prefix", "jetstream_event_prefix",
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
		"ca": &c.CA, "cert": &c.Cert, "key": &c.Key, "socks_proxy": &c.SocksProxy,
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
	for _, f := range []struct {
		what string
		text string
	}{{"a password", c.Password}, {"a token", c.Token}} {
		if scheme := schemeOf(f.text); scheme != "" && slices.Contains(literal, strings.TrimRight(scheme, ":/")) {
			return c, fmt.Errorf("it has %s by %s, which feedmux does not know", f.what, scheme)
		}
	}
	for _, f := range []struct {
		what string
		name *string
	}{{"creds", &c.Creds}, {"an nkey", &c.NKey}, {"a ca", &c.CA}, {"a cert", &c.Cert}, {"a key", &c.Key}} {
		if err := find(f.name); err != nil {
			return c, fmt.Errorf("it has %s %w", f.what, err)
		}
	}
	return c, nil
}

// literal are the schemes by which the nats command finds what stands in the place of a password or a token. Any other is
// taken for a part of it.
var literal = []string{"data", "env", "file", "nsc", "op"}

// schemes matches that of a reference. One letter is a drive.
var schemes = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+:)(//)?`)

// schemeOf is the scheme that a field begins with, as in "env://" or "data:"; "": none.
func schemeOf(text string) string { return strings.ToLower(schemes.FindString(text)) }

// find gives the name of a file its full length, as the nats command does.
func find(name *string) error {
	*name = os.ExpandEnv(*name)
	switch scheme := schemeOf(*name); scheme {
	case "":
	case "file://":
		*name = (*name)[len(scheme):]
	default:
		return fmt.Errorf("by %s, which feedmux does not know", scheme)
	}
	if rest, ok := strings.CutPrefix(*name, "~"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("in %s: %w", *name, err)
		}
		*name = home + rest
	}
	return nil
}
