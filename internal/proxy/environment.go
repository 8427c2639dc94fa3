package proxy

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// Environment stands, in the place of a URL, for the proxy that the environment names.
const Environment = "env"

// Of is the proxy that a setting names for an upstream: its URL, Environment, or "" for none. getenv is [os.Getenv].
func Of(setting, upstream string, getenv func(string) string) (p Proxy, found bool, err error) {
	switch setting {
	case "":
		return Proxy{}, false, nil
	case Environment:
		return FromEnvironment(upstream, getenv)
	}
	p, err = Parse(setting)
	return p, err == nil, err
}

// FromEnvironment finds the proxy that the environment names for an upstream: HTTPS_PROXY for wss and https, HTTP_PROXY
// for ws and http, except for hosts that NO_PROXY lists and for localhost and loopback addresses, which are dialled
// directly. A name in lower case goes before the same in upper case. getenv is [os.Getenv].
//
// A value without a scheme is an HTTP proxy. One that is no proxy's URL is an error that names the variable, unless
// NO_PROXY makes it irrelevant.
func FromEnvironment(upstream string, getenv func(string) string) (p Proxy, found bool, err error) {
	u, err := url.Parse(upstream)
	if err != nil || u.Hostname() == "" {
		return Proxy{}, false, errNoTarget
	}
	names := []string{"http_proxy", "HTTP_PROXY"}
	scheme := "http"
	if u.Scheme == "wss" || u.Scheme == "https" {
		names = []string{"https_proxy", "HTTPS_PROXY"}
		scheme = "https"
	}
	name, value := first(getenv, names...)
	_, except := first(getenv, "no_proxy", "NO_PROXY")

	// The library reads NO_PROXY as everybody does, but ignores a proxy that it cannot parse: it is asked about a
	// good one.
	const some = "http://proxy.invalid"
	rules := httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: except}
	if chosen, _ := rules.ProxyFunc()(&url.URL{Scheme: scheme, Host: u.Host}); chosen == nil || value == "" {
		return Proxy{}, false, nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	if p, err = Parse(value); err != nil {
		return Proxy{}, false, fmt.Errorf("environment variable %s: %w", name, err)
	}
	return p, true, nil
}

// first finds the first of the named variables that is not empty.
func first(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}
