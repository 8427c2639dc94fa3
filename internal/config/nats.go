package config

import (
	"net/url"
	"strings"

	"feedmux/internal/config/forms"
)

// checkNATS looks for keys of [nats] that are right by themselves and not together, or not beside [http].
func (l *loader) checkNATS(c *Config) {
	n := &c.NATS
	type key struct {
		name string
		set  bool
	}
	logins := []key{
		{"creds_file", n.CredsFile != ""}, {"nkey_file", n.NKeyFile != ""},
		{"user", n.User != "" || n.PasswordFile != ""}, {"token_file", n.TokenFile != ""},
	}
	if n.User == "" {
		logins[2].name = "password_file"
	}
	tls := []key{
		{"tls.ca_file", n.TLS.CAFile != ""}, {"tls.cert_file", n.TLS.CertFile != ""},
		{"tls.key_file", n.TLS.KeyFile != ""}, {"tls.first", n.TLS.First},
	}
	for _, pair := range [][2]key{
		{{"user", n.User != ""}, {"password_file", n.PasswordFile != ""}},
		{tls[1], tls[2]},
	} {
		if a, b := pair[0], pair[1]; a.set != b.set {
			if b.set {
				a, b = b, a
			}
			l.Report("nats."+a.name, "needs %s beside it, which is missing", b.name)
		}
	}

	// Whatever else is set beside the first way to log in has a problem of its own.
	first := ""
	switch {
	case n.Context != "":
		first = "context"
		if l.Has("nats.url") && n.URL != forms.Embedded {
			l.Report("nats.url", "cannot stand beside context, which says the servers")
		}
	case !l.Clean("nats.url"): // who knows what it was to be
		return
	case n.IsEmbedded():
		for _, k := range append(logins, tls...) {
			if k.set {
				l.Report("nats."+k.name, `needs servers elsewhere, and url is "embedded"`)
			}
		}
		if listen := "http.listen"; l.Clean(listen, "nats.embedded.listen") && forms.Meet(c.HTTP.Listen, n.Embedded.Listen) {
			l.Report(listen, "%s is where nats.embedded.listen is already: one of them must have another port",
				l.Quote(listen, c.HTTP.Listen))
		}
		return
	case hasCredentials(n.URL):
		first = "the user of url"
	}
	for _, k := range logins {
		switch {
		case !k.set:
		case first == "":
			first = k.name
		case n.Context != "":
			l.Report("nats."+k.name, "cannot stand beside context, which says the login")
		default:
			l.Report("nats."+k.name, "is a second way to log in, beside %s: use one of them", first)
		}
	}
	for _, k := range tls {
		if k.set && n.Context != "" {
			l.Report("nats."+k.name, "cannot stand beside context, which says how TLS is spoken")
		}
	}
}

// hasCredentials says that one of servers, separated by commas, has a user.
func hasCredentials(servers string) bool {
	for server := range strings.SplitSeq(servers, ",") {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil && u.User != nil {
			return true
		}
	}
	return false
}
