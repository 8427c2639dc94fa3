package strict

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ReadFile reads a file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %s", path, FormatSize(int(limit)))
	}
	return data, err
}

// credential begins the name of a file that systemd hands over.
const credential = "credential:"

// FileName is a name of a file: relative to the configuration's folder, or credential:NAME for one that systemd
// hands over. "" is none. Whether there is such a file is not asked.
func FileName(p *string) Kind {
	return Kind{Show: func() string { return *p }, Decode: func(d *Decoder, at string, v any) {
		var s string
		Text(&s, anything).Decode(d, at, v)
		*p = d.resolve(s)
	}}
}

// resolve finds the file that a key names. A credential that systemd did not hand over keeps its name, which no file
// has: reading it fails with that name.
func (d *Decoder) resolve(name string) string {
	file, ok := strings.CutPrefix(name, credential)
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

// Authorities is the name of a file of certificates in PEM, of which it must hold one at least. One that systemd would hand
// over, and did not, is not looked at.
func Authorities(p *string) Kind {
	name := FileName(p)
	return Kind{Show: name.Show, Decode: func(d *Decoder, at string, v any) {
		name.Decode(d, at, v)
		if *p == "" || strings.HasPrefix(*p, credential) {
			return
		}
		data, err := ReadFile(*p, MiB)
		switch {
		case err != nil:
			d.Report(at, "%v", err)
		case !x509.NewCertPool().AppendCertsFromPEM(data):
			d.Report(at, "%s holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----", *p)
		}
	}}
}
