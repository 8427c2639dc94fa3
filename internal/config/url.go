package config

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
)

// RedactURL is raw without what may be secret in it: user and password, query, fragment. What cannot be read as a URL
// is shown only as far as its scheme.
func RedactURL(raw string) string {
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok && !strings.ContainsAny(raw, "@?#") {
		return raw
	}
	u, err := url.Parse(raw)
	switch {
	case err == nil && u.Host != "":
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	case ok && !strings.ContainsAny(scheme, ":/@?#"):
		return scheme + "://…"
	}
	return "…"
}

// RedactURLs is RedactURL for URLs separated by commas.
func RedactURLs(raw string) string {
	urls := strings.Split(raw, ",")
	for i, u := range urls {
		urls[i] = RedactURL(u)
		if len(urls) > 1 && !strings.Contains(u, "://") {
			urls[i] = "…" // perhaps a part of a secret with a comma in it
		}
	}
	return strings.Join(urls, ",")
}

// guarded is text that redact makes fit to be shown. Where "" is right it leaves the default.
func guarded(p *string, redact, wrong func(string) string) decodeFunc {
	return func(d *decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.wrongType(at, "a string", v)
			return
		}
		if why := wrong(s); why != "" {
			if raw, ok := d.written[at]; ok {
				s = raw
			}
			d.report(at, "%q %s", redact(s), why)
			return
		}
		if s != "" {
			*p = s
		}
	}
}

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
