package config

import (
	"cmp"
	"net"
	"net/url"
	"strconv"
	"strings"

	"feedmux/internal/config/strict"
)

// RedactURL is raw without what may be secret in it: user and password, query, fragment. What cannot be read as a URL
// is shown only as far as its scheme.
func RedactURL(raw string) string { return strict.RedactURL(raw) }

// RedactURLs is RedactURL for URLs separated by commas.
func RedactURLs(raw string) string { return strict.RedactURLs(raw) }

// upstreamURL is a WebSocket URL, or "" for the protocol's own.
func upstreamURL(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || !hasHost(u):
		return "must be ws://HOST or wss://HOST, with a port up to 65535 if any"
	case u.Fragment != "":
		return "must not have a #fragment"
	}
	return ""
}

// natsURL is where NATS is.
func natsURL(s string) string {
	const want = `must be "embedded", or servers separated by commas, such as nats://a:4222,nats://b:4222`
	if s == embedded {
		return ""
	}
	websockets, servers := 0, strings.Split(s, ",")
	for _, server := range servers {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || !hasHost(u) {
			return want
		}
		switch u.Scheme {
		case "nats", "tls":
		case "ws", "wss":
			websockets++
		default:
			return want
		}
	}
	if websockets != 0 && websockets != len(servers) {
		return "has both WebSocket servers and others: they must be of one sort"
	}
	return ""
}

// hasHost says that u names a host, and a port that there can be, if any.
func hasHost(u *url.URL) bool {
	_, err := strconv.ParseUint(cmp.Or(u.Port(), "0"), 10, 16)
	return err == nil && u.Hostname() != ""
}

// listenAddress is host:port, or "" for none.
func listenAddress(s string) string {
	if s == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return `must be host:port, such as "127.0.0.1:4222", or "" for none`
	}
	return ""
}
