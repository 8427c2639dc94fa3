// Package forms says what the words of a configuration must look like that name a place: URLs, addresses, names of hosts. A
// function that takes a string says what is wrong with it, or "".
package forms

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"feedmux/internal/config/strict"
	"feedmux/internal/proxy"
)

// Embedded is where NATS is if it is in the process.
const Embedded = "embedded"

// Upstream is a WebSocket URL, or "" for the protocol's own.
func Upstream(s string) string {
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

// NATS is where NATS is.
func NATS(s string) string {
	const want = `must be "embedded", or servers separated by commas, such as nats://a:4222,nats://b:4222`
	if s == Embedded {
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

// Proxy is where connections go through, or "" for nowhere.
func Proxy(s string) string {
	if s == "" || s == proxy.Environment {
		return ""
	}
	if !strings.Contains(s, "://") {
		return `must be http://HOST:PORT or socks5://HOST:PORT, USER:PASSWORD@ before the host if need be, or "env"`
	}
	if _, err := proxy.Parse(s); err != nil { // it quotes nothing of the URL
		return "cannot be used: " + err.Error()
	}
	return ""
}

// Way says what is wrong with the proxy that the environment names for an upstream, where a feed's proxy is that; "": nothing.
func Way(via, upstream string, env func(name string) (string, bool)) string {
	if via != proxy.Environment || upstream == "" {
		return ""
	}
	_, _, err := proxy.Of(via, upstream, func(name string) string {
		value, _ := env(name)
		return value
	})
	if err != nil { // it quotes nothing of the variable
		return "cannot be used: " + err.Error()
	}
	return ""
}

// IsPlain says that there is no TLS to an upstream.
func IsPlain(upstream string) bool {
	u, err := url.Parse(upstream)
	return err == nil && u.Scheme == "ws"
}

// LocalAddress is an address to dial from; "" is any.
func LocalAddress(p *netip.Addr) strict.Kind {
	show := func() string {
		if !p.IsValid() {
			return ""
		}
		return p.String()
	}
	text := show()
	parse := strict.Text(&text, func(s string) string {
		if s == "" {
			return ""
		}
		addr, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return "must be an IP address of this machine, without a port, such as 192.0.2.7 or 2001:db8::7"
		case addr.IsUnspecified() || addr.IsMulticast():
			return `cannot be dialled from: it must be one address of this machine, or "" for any`
		}
		return ""
	})
	return strict.Kind{Show: show, Decode: func(d *strict.Decoder, at string, v any) {
		parse.Decode(d, at, v)
		if addr, err := netip.ParseAddr(text); err == nil {
			*p = addr.Unmap()
		}
	}}
}

// ServerName is what a certificate is for, or "" for the URL's host.
func ServerName(s string) string {
	if strings.ContainsAny(s, "/:@ ") && net.ParseIP(s) == nil {
		return "must be the name of a host, without a scheme or port"
	}
	return ""
}

// Context is what the nats command calls a context, or "" for none.
func Context(s string) string {
	if strings.Contains(s, "..") || strings.ContainsAny(s, `/\`) {
		return "must be the name of a context, as in: nats context ls"
	}
	return ""
}

// hasHost says that u names a host, and a port that there can be, if any.
func hasHost(u *url.URL) bool {
	_, err := strconv.ParseUint(cmp.Or(u.Port(), "0"), 10, 16)
	return err == nil && u.Hostname() != ""
}

// Listen is for host:port, as in the example, or "" for none.
func Listen(example string) func(string) string {
	return func(s string) string {
		if s == "" {
			return ""
		}
		_, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Sprintf(`must be host:port, such as %q, or "" for none`, example)
		}
		return ""
	}
}

// Meet says that nobody can listen at two addresses together, of which both are of the form of Listen.
func Meet(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	numberA, _ := strconv.ParseUint(portA, 10, 16)
	numberB, _ := strconv.ParseUint(portB, 10, 16)
	hostA, hostB = listened(hostA), listened(hostB)
	return numberA == numberB && numberA != 0 && (hostA == "" || hostB == "" || hostA == hostB)
}

// listened is the one spelling of a host to listen at; "" is every address of the machine.
func listened(host string) string {
	if host = strings.ToLower(host); host == "localhost" {
		return "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case addr.IsUnspecified():
		return ""
	}
	return addr.Unmap().String()
}
