package dialects

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"feedmux/internal/config"
	"feedmux/internal/proxy"
)

// hostOf is what an upstream goes by that counts by address. However a URL spells the host, it is the same one; and with TLS it
// is the same as without.
func hostOf(f *config.Feed) string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return f.Name // a URL that is wrong is told by itself
	}
	return spelled(u.Hostname(), u.Port(), "80", "443")
}

// spelled is the one spelling of a host and a port; a usual one is left out.
func spelled(host, port string, usual ...string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	if port != "" && !slices.Contains(usual, port) {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// wayOf is what an upstream counts by that counts addresses: its host, and the way from here that decides on the address. A
// proxy may take each of its users another way.
func wayOf(f *config.Feed) string {
	way := hostOf(f)
	if f.LocalAddress.IsValid() {
		way += " from " + f.LocalAddress.String()
	}
	p, found, err := proxy.Of(f.Proxy, f.URL, os.Getenv)
	switch {
	case err != nil: // told by itself
		return way + " through " + config.RedactURL(f.Proxy)
	case !found:
		return way
	}
	if host, port, err := net.SplitHostPort(p.Address()); err == nil {
		way += " through " + spelled(host, port)
	}
	if secrets := p.Secrets(); len(secrets) > 0 {
		way += " as " + fingerprint(secrets[0]) // the user: a password may change
	}
	return way
}

// fingerprint shows which secret it is, and nothing of it.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:4])
}
