package strict

import "testing"

func TestRedactURLShowsNoSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "",
		"embedded":                        "embedded",
		"host:4222":                       "host:4222",
		"wss://host":                      "wss://host",
		"wss://host:1/a/btcusdt@trade":    "wss://host:1/a/btcusdt@trade",
		"wss://host/a%2Fb?token=hidden":   "wss://host/a%2Fb",
		"wss://host?hidden":               "wss://host",
		"wss://host/#hidden":              "wss://host/",
		"wss://hidden@host/a":             "wss://host/a",
		"wss://user:hidden@[::1]:443/a":   "wss://[::1]:443/a",
		"nats://user:hid/hidden@host":     "nats://…",
		"nats://user:hid%hidden@host":     "nats://…",
		"nats://user:hid?hidden@host":     "nats://…",
		"user:hidden@host":                "…",
		"host?hidden":                     "…",
		"hidden@host?://":                 "…",
		"//user:hidden@host":              "//host",
		"wss://user:hidden@":              "wss://…",
		"mailto:hidden@host":              "…",
		"wss://host\x7f/hidden?a=hidden%": "wss://…",
	} {
		if got := RedactURL(raw); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", raw, got, want)
		}
	}
	for raw, want := range map[string]string{
		"host":                             "host",
		"nats://u:hidden@a,nats://b?hid":   "nats://a,nats://b",
		"nats://u:hid,hidden@a:1,nats://b": "nats://…,…,nats://b",
		"nats://u:1,hidden,hidden@a":       "nats://u:1,…,…",
	} {
		if got := RedactURLs(raw); got != want {
			t.Errorf("RedactURLs(%q) = %q, want %q", raw, got, want)
		}
	}
}
