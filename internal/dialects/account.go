package dialects

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"

	"feedmux/internal/config"
)

// hostOf is what an upstream goes by that counts by address.
func hostOf(f *config.Feed) string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return f.Name // a URL that is wrong is told by itself
	}
	return u.Host
}

// fingerprint shows which secret it is, and nothing of it.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:4])
}
