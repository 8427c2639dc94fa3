package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/proxy"
)

const (
	user     = "somebody"
	password = "p@ss:w/rd%"
	userInfo = "somebody:p%40ss%3Aw%2Frd%25@"
)

// holdsSecret says whether text shows the password above, as it is or as a URL or a header spells it.
func holdsSecret(text string) bool {
	basic := "c29tZWJvZHk6cEBzczp3L3JkJQ=="
	return slices.ContainsFunc([]string{user, password, "p%40ss", basic}, func(s string) bool { return strings.Contains(text, s) })
}

func TestAProxyIsReadFromItsURL(t *testing.T) {
	for rawURL, want := range map[string]struct{ address, text string }{
		"http://proxy.example":                   {"proxy.example:80", "http://proxy.example:80"},
		"http://proxy.example:3128/":             {"proxy.example:3128", "http://proxy.example:3128"},
		"HTTP://[::1]:8080":                      {"[::1]:8080", "http://[::1]:8080"},
		"http://" + userInfo + "192.0.2.1:3128":  {"192.0.2.1:3128", "http://[hidden]@192.0.2.1:3128"},
		"http://Proxy.EXAMPLE:03128":             {"proxy.example:3128", "http://proxy.example:3128"},
		"socks5://proxy.example":                 {"proxy.example:1080", "socks5://proxy.example:1080"},
		"socks5h://proxy.example:9050":           {"proxy.example:9050", "socks5://proxy.example:9050"},
		"socks5://" + userInfo + "proxy.example": {"proxy.example:1080", "socks5://[hidden]@proxy.example:1080"},
	} {
		p, err := proxy.Parse(rawURL)
		if err != nil {
			t.Errorf("%s: %v", rawURL, err)
			continue
		}
		if p.Address() != want.address || p.String() != want.text {
			t.Errorf("%s: %s at %s", rawURL, p, p.Address())
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if shown := fmt.Sprintf(verb, p); holdsSecret(shown) {
				t.Errorf("%s shows %s", verb, shown)
			}
		}
		secrets := p.Secrets()
		if strings.Contains(rawURL, "@") != slices.Contains(secrets, password) || slices.Contains(secrets, "") {
			t.Errorf("%s: the secrets are %q", rawURL, secrets)
		}
	}
}

func TestAURLThatIsNoProxyIsAnErrorWithoutItsSecrets(t *testing.T) {
	for rawURL, want := range map[string]string{
		"":                                                "begin with http://",
		"proxy.example:3128":                              "begin with http://",
		"https://" + userInfo + "h":                       "begin with http://",
		"socks4://" + userInfo + "h":                      "begin with http://",
		"ftp://" + userInfo + "h":                         "begin with http://",
		"http://" + userInfo:                              "no host",
		"socks5://:1080":                                  "no host",
		"http://" + userInfo + "h:0":                      "port",
		"http://" + userInfo + "h:65536":                  "port",
		"http://" + userInfo + "h:x":                      "cannot be parsed",
		"http://" + userInfo + "h\n":                      "cannot be parsed",
		"http://" + userInfo + "h/path":                   "a path",
		"http://h?" + userInfo:                            "a query",
		"http://h?":                                       "a query",
		"http://::1:3128":                                 "IPv6 address without brackets",
		"socks5://" + userInfo + "2001:db8::7":            "IPv6 address without brackets",
		"http://::1":                                      "IPv6 address without brackets",
		"http://h:1:2":                                    "",
		"http://h#" + userInfo:                            "a fragment",
		"http://:p%40ss@h":                                "user name",
		"http://some%3Abody:p%40ss@h":                     "user name",
		"http://" + userInfo + "prøxy.example":            "ASCII",
		"socks5://" + userInfo + strings.Repeat("h", 256): "255 bytes",
		"socks5://somebody:" + strings.Repeat("p%40ss", 64) + "@h": "255 bytes",
	} {
		p, err := proxy.Parse(rawURL)
		if err == nil || !strings.Contains(err.Error(), want) || holdsSecret(err.Error()) || p != (proxy.Proxy{}) {
			t.Errorf("%q: %v, %v; want %q", rawURL, p, err, want)
		}
	}
}

func TestTheEnvironmentNamesAProxy(t *testing.T) {
	const direct = ""
	for _, test := range []struct {
		env, upstream, want string
	}{
		{"", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1", "wss://feed.example/path?token=x", "http://a:1"},
		{"HTTPS_PROXY=http://a:1", "https://feed.example", "http://a:1"},
		{"HTTPS_PROXY=http://a:1", "ws://feed.example", direct},
		{"HTTP_PROXY=http://a:1", "ws://feed.example:81", "http://a:1"},
		{"HTTP_PROXY=http://a:1", "http://feed.example", "http://a:1"},
		{"HTTP_PROXY=http://a:1", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1 https_proxy=socks5://b", "wss://feed.example", "socks5://b:1080"},
		{"http_proxy=b:2", "ws://feed.example", "http://b:2"},
		{"HTTPS_PROXY=" + userInfo + "b:2", "wss://feed.example", "http://[hidden]@b:2"},
		{"ALL_PROXY=http://a:1", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1", "wss://localhost:8443", direct},
		{"HTTPS_PROXY=http://a:1", "wss://127.0.0.1", direct},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=*", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=other.example,feed.example", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=.example", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=feed.example:444", "wss://feed.example", "http://a:1"},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=feed.example:443", "wss://feed.example", direct},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=feed.example no_proxy=other.example", "wss://feed.example", "http://a:1"},
		{"HTTPS_PROXY=http://a:1 NO_PROXY=192.0.2.0/24", "wss://192.0.2.9", direct},
		{"HTTPS_PROXY=nonsense://a NO_PROXY=feed.example", "wss://feed.example", direct},
	} {
		p, found, err := proxy.FromEnvironment(test.upstream, environment(test.env))
		if err != nil || found != (test.want != direct) || found && p.String() != test.want {
			t.Errorf("%q for %s: %v, %v, %v; want %q", test.env, test.upstream, p, found, err, test.want)
		}
	}
}

func TestABadVariableIsNamedAndNotShown(t *testing.T) {
	for env, name := range map[string]string{
		"HTTPS_PROXY=https://" + userInfo + "a":             "HTTPS_PROXY",
		"https_proxy=" + userInfo + "a:port":                "https_proxy",
		"https_proxy=ftp://" + userInfo + "a HTTPS_PROXY=b": "https_proxy",
		"HTTPS_PROXY=http://" + userInfo:                    "HTTPS_PROXY",
	} {
		_, found, err := proxy.FromEnvironment("wss://feed.example", environment(env))
		if err == nil || found || !strings.Contains(err.Error(), "variable "+name+":") || holdsSecret(err.Error()) {
			t.Errorf("%s: %v, %v", env, found, err)
		}
	}
	for _, upstream := range []string{"", "wss://", "wss://" + userInfo + "h:x"} {
		if _, _, err := proxy.FromEnvironment(upstream, environment("HTTPS_PROXY=a")); err == nil || holdsSecret(err.Error()) {
			t.Errorf("%s: %v", upstream, err)
		}
	}
}

// environment makes a getenv of "NAME=value NAME=value".
func environment(text string) func(string) string {
	return func(name string) string {
		for pair := range strings.FieldsSeq(text) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
