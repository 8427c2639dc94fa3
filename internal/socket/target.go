package socket

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Errors of a URL do not quote it, and do not wrap net/url's, which do: even a malformed URL may hold a secret.
var (
	errURL       = errors.New("URL cannot be parsed")
	errScheme    = errors.New("URL does not begin with ws:// or wss://")
	errHost      = errors.New("URL has no host")
	errHostASCII = errors.New("URL's host is not ASCII: write it in its xn-- form")
	errFragment  = errors.New("URL has a fragment")
)

// target is where to dial and what to say there.
type target struct {
	url     *url.URL // without user-info
	header  http.Header
	secrets *strings.Replacer // cuts what must not be seen out of what the peer says
}

func newTarget(rawURL string, header http.Header, secrets []string) (*target, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil, strings.Contains(u.RawQuery, " "):
		return nil, errURL
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, errScheme
	case u.Hostname() == "":
		return nil, errHost
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r >= 0x80 }):
		return nil, errHostASCII
	case u.Fragment != "":
		return nil, errFragment
	}
	u.Host = strings.TrimSuffix(u.Host, ":")
	header = header.Clone()
	if u.User != nil {
		if header == nil {
			header = http.Header{}
		}
		if header.Get("Authorization") == "" {
			password, _ := u.User.Password()
			pair := u.User.Username() + ":" + password
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		}
	}
	t := &target{url: u, header: header, secrets: hider(u, header, secrets)}
	u.User = nil
	return t, nil
}

// leastSecret is the length of a secret in bytes. Shorter words are left: they are none, and cutting them out would make
// other words unreadable.
const leastSecret = 6

// hider replaces the secrets of a handshake wherever a peer echoes them.
func hider(u *url.URL, header http.Header, secrets []string) *strings.Replacer {
	words := append([]string{u.RawQuery, u.User.Username()}, secrets...)
	if password, ok := u.User.Password(); ok {
		words = append(words, password)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		words = append(words, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			words = append(words, plain)
		}
	}
	for _, values := range header {
		for _, value := range values {
			words = append(words, value)
			words = append(words, strings.Fields(value)...) // the token alone, without "Bearer"
		}
	}
	// The longest first, or a part of it would be replaced and the rest shown.
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, w := range words {
		if len(w) >= leastSecret {
			pairs = append(pairs, w, "[hidden]")
		}
	}
	return strings.NewReplacer(pairs...)
}
