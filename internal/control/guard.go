package control

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// guard refuses what the server is not for, before any handler sees it, and sets the headers that keep browsers from
// doing more with an answer than show it.
func guard(hosts hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")

		if !hosts.allow(r.Host) {
			use := "the address in http.listen"
			if hosts.anyIP { // that one is no machine's
				use = "an IP address or the name of this machine"
			}
			http.Error(w, "feedmux does not answer for this host: use localhost, or "+use, http.StatusMisdirectedRequest)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "this server only shows: use GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forBrowsers lets what the page brings along itself work in a browser, and nothing else: no script or style in the page's
// text, nothing from or to elsewhere.
func forBrowsers(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		page.ServeHTTP(w, r)
	})
}

// hosts says which Host headers are ours. A web page that points its own name at a loopback address (DNS rebinding)
// still sends that name; so names are let in one by one, while an IP address cannot be rebound.
type hosts struct {
	names map[string]bool // lower case; IP addresses in their canonical form
	anyIP bool
}

func newHosts(listed []string) hosts {
	h := hosts{names: map[string]bool{"localhost": true}}
	for _, host := range listed {
		ip, err := netip.ParseAddr(host)
		switch {
		case host == "" || err == nil && ip.IsUnspecified():
			h.anyIP = true
			if name, err := os.Hostname(); err == nil {
				h.addMachine(name)
			}
		case err == nil:
			h.names[canonical(ip)] = true
		default:
			h.names[strings.ToLower(host)] = true
		}
	}
	return h
}

// addMachine lets in the name of this machine, whole and its first part alone: no web page from elsewhere has either.
func (h hosts) addMachine(name string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	first, _, _ := strings.Cut(name, ".")
	h.names[name], h.names[first] = true, true
}

// allow ignores the port: a forwarded one differs from ours.
func (h hosts) allow(host string) bool {
	if host == "" {
		return true // HTTP/1.0, which health checks still speak and browsers do not
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return h.anyIP || ip.IsLoopback() || h.names[canonical(ip)]
	}
	return h.names[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func canonical(ip netip.Addr) string { return ip.Unmap().WithZone("").String() }
