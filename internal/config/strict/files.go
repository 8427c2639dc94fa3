package strict

import (
	"crypto/x509"
	"path/filepath"
	"strings"

	"feedmux/internal/regular"
)

// FileName is a name of a file: relative to the configuration's folder, or credential:NAME for one that systemd
// hands over. "" is none. Whether there is such a file is not asked.
func FileName(p *string) Kind {
	return Kind{Show: func() string { return *p }, Decode: func(d *Decoder, at string, v any) {
		var s string
		Text(&s, credentialName).Decode(d, at, v)
		*p = d.Resolve(s)
	}}
}

// credentialName says what is wrong with the name of a credential: it is that of a file in systemd's folder, and of no other.
func credentialName(s string) string {
	name, ok := strings.CutPrefix(s, regular.Credential)
	if ok && (name == "" || name == "." || name == ".." || strings.Contains(name, "/")) {
		return "must be credential:NAME, and the name no path"
	}
	return ""
}

// Resolve finds the file that a key names. A credential that systemd did not hand over keeps its name: package regular says
// so when it is to be read.
func (d *Decoder) Resolve(name string) string {
	file, ok := strings.CutPrefix(name, regular.Credential)
	switch {
	case ok:
		if dir, set := d.env("CREDENTIALS_DIRECTORY"); set {
			return filepath.Join(dir, file)
		}
		return name
	case name == "" || filepath.IsAbs(name):
		return name
	}
	return filepath.Join(d.dir, name)
}

// Program finds the program that a key names with a slash in its name, as a file. It has a slash then, too: without one, it
// would be looked for elsewhere.
func (d *Decoder) Program(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	name = filepath.Join(d.dir, name)
	if !strings.Contains(name, "/") {
		name = "./" + name
	}
	return name
}

// Authorities is the name of a file of certificates in PEM, of which it must hold one at least.
func Authorities(p *string) Kind {
	name := FileName(p)
	return Kind{Show: name.Show, Decode: func(d *Decoder, at string, v any) {
		name.Decode(d, at, v)
		if *p == "" {
			return
		}
		data, err := regular.Read(*p, regular.Large)
		switch {
		case err != nil:
			d.Report(at, "%v", err)
		case !x509.NewCertPool().AppendCertsFromPEM(data):
			d.Report(at, "%s holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----", *p)
		}
	}}
}
