package dialects

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"

	"feedmux/internal/config"
	"feedmux/internal/proxy"
)

// hostOf is what an upstream goes by that counts by address.
func hostOf(f *config.Feed) string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return f.Name // a URL that is wrong is told by itself
	}
	return u.Host
}

// wayOf is what an upstream counts by that counts addresses: its host, and the way from here that decides on the address. A
// proxy may take each of its users another way.
func wayOf(f *config.Feed) string {
	way := hostOf(f)
	if f.LocalAddress.IsValid() {
		way += " from " + f.LocalAddress.String()
	}
	p, found, err := proxyOf(f)
	switch {
	case err != nil: // told where it is used
		return way + " through " + config.RedactURL(f.Proxy)
	case !found:
		return way
	}
	way += " through " + p.Address()
	if secrets := p.Secrets(); len(secrets) > 0 {
		way += " as " + fingerprint(secrets[0]) // the user: a password may change
	}
	return way
}

// proxyOf is what f connects through, if anything.
func proxyOf(f *config.Feed) (p proxy.Proxy, found bool, err error) {
	switch f.Proxy {
	case "":
		return p, false, nil
	case "env":
		return proxy.FromEnvironment(f.URL, os.Getenv)
	}
	p, err = proxy.Parse(f.Proxy)
	return p, err == nil, err
}

// fingerprint shows which secret it is, and nothing of it.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:4])
}
