package config

import (
	"slices"
	"strings"
	"testing"
)

func TestAProxyOfTheEnvironmentThatCannotBeUsedIsAProblem(t *testing.T) {
	const text = "[[feed]]\nname = 'a'\nprotocol = 'twitch-pubsub'\ntopics = ['x']\nproxy = 'env'\n"
	for variables, want := range map[string]string{
		"HTTPS_PROXY=http://user:hidden@proxy:3128": "",
		"":                          "",
		"HTTP_PROXY=socks4://proxy": "", // for others
		"HTTPS_PROXY=socks4://proxy NO_PROXY=pubsub-edge.twitch.tv":    "",
		"HTTPS_PROXY=https://user:hidden@proxy:3128":                   "variable HTTPS_PROXY: proxy URL does not begin",
		"https_proxy=socks4://proxy HTTPS_PROXY=http://user:hidden@p":  "variable https_proxy: proxy URL does not begin",
		"HTTPS_PROXY=http://user:hidden@proxy:99999 NO_PROXY=other.tv": "variable HTTPS_PROXY: proxy URL has a port",
	} {
		opts := options()
		opts.Env = func(name string) (string, bool) {
			for pair := range strings.FieldsSeq(variables) {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value, true
				}
			}
			return "", false
		}
		_, err := Parse("c.toml", []byte(text), opts)
		switch {
		case want == "" && err != nil, want != "" && err == nil:
			t.Errorf("%s: %v", variables, err)
		case want != "" && (!strings.HasPrefix(err.Error(), "c.toml:5: feed[0].proxy: cannot be used: ") ||
			!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")):
			t.Errorf("%s: %v, want %s", variables, err, want)
		}
	}
}

func TestAnAddressToDialFromHasOneSpelling(t *testing.T) {
	c := mustParse(t, "[[feed]]\nname = 'a'\nprotocol = 'twitch-pubsub'\ntopics = ['x']\nlocal_address = '::ffff:192.0.2.7'\n")
	if got := c.Feeds[0].LocalAddress.String(); got != "192.0.2.7" {
		t.Error(got)
	}
}

func TestAProgramWithASlashInItsNameIsFoundAsFilesAre(t *testing.T) {
	for _, c := range []struct{ config, program, want string }{
		{"/etc/feedmux/config.toml", "./token", "/etc/feedmux/token"},
		{"/etc/feedmux/config.toml", "bin/token", "/etc/feedmux/bin/token"},
		{"/etc/feedmux/config.toml", "/bin/token", "/bin/token"},
		{"/etc/feedmux/config.toml", "token", "token"},
		{"config.toml", "./token", "./token"},
		{"conf/config.toml", "../token", "./token"},
	} {
		text := "[[feed]]\nname = 'a'\nprotocol = 'twitch-pubsub'\ntopics = ['x']\nauth.command = ['" + c.program + "', './x']\n"
		got, err := Parse(c.config, []byte(text), options())
		if err != nil {
			t.Fatal(err)
		}
		if argv := got.Feeds[0].Auth.Command; !slices.Equal(argv, []string{c.want, "./x"}) {
			t.Errorf("%s: %s becomes %q, want %s", c.config, c.program, argv, c.want)
		}
	}
}
