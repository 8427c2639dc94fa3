package strict

import (
	"net/url"
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

// Guarded is text that redact makes fit to be shown. Where "" is right it leaves the default.
func Guarded(p *string, redact, wrong func(string) string) Kind {
	return Kind{Show: func() string { return *p }, Redact: redact, Decode: func(d *Decoder, at string, v any) {
		s, ok := v.(string)
		if !ok {
			d.WrongType(at, "a string", v)
			return
		}
		if why := wrong(s); why != "" {
			if raw, ok := d.written[at]; ok {
				s = raw
			}
			d.Report(at, "%q %s", redact(s), why)
			return
		}
		if s != "" {
			*p = s
		}
	}}
}
