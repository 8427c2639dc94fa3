package natscontext

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"feedmux/internal/regular"
)

// write makes a context in a configuration folder of its own.
func write(t *testing.T, name, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	file := filepath.Join(dir, "nats", "context", name+".json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAContextSaysWhatTheNatsCommandWroteIntoIt(t *testing.T) {
	t.Setenv("HOME", "/me")
	t.Setenv("CREDS", "/run/creds")
	write(t, "prod", `{
		"description": "ours", "url": "nats://a:4222,nats://b:4222", "socks_proxy": "socks5://p:1080", "token": "~tok",
		"user": "", "password": "left over", "creds": "$CREDS/user.creds", "nkey": "~/user.nk", "cert": "~/c.pem", "key": "file://k.pem",
		"ca": "File://$CREDS/ca.pem", "nsc": "", "jetstream_domain": "hub", "jetstream_api_prefix": "", "jetstream_event_prefix": "",
		"inbox_prefix": "_INBOX.me", "user_jwt": "", "color_scheme": "red", "tls_first": true, "windows_ca_certs_match": null
	}`)
	got, err := Read("prod")
	want := Context{
		URL: "nats://a:4222,nats://b:4222", SocksProxy: "socks5://p:1080", Token: "~tok", Creds: "/run/creds/user.creds",
		Cert: "/me/c.pem", Key: "k.pem", CA: "/run/creds/ca.pem", TLSFirst: true,
	}
	if err != nil || got != want {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestTheLoginIsTheOneThatTheNatsCommandWouldUse(t *testing.T) {
	for text, want := range map[string]Context{
		`{}`: {},
		`{"user": "u", "password": "p", "creds": "c", "nkey": "n"}`: {User: "u", Password: "p"},
		`{"creds": "c", "nkey": "n"}`:                               {Creds: "c"},
		`{"nkey": "~/n"}`:                                           {NKey: "/me/n"},
		`{"nkey": "file://~/$SEED"}`:                                {NKey: "/me/seed"},
		`{"creds": "file:///c", "nkey": "env://N"}`:                 {Creds: "/c"},
		`{"user": "u", "password": "word://p", "creds": "nsc://o"}`: {User: "u", Password: "word://p"},
		`{"token": "tok:en"}`:                                       {Token: "tok:en"},
		`{"user": "u"}`:                                             {User: "u"},
	} {
		t.Setenv("HOME", "/me")
		t.Setenv("SEED", "seed")
		write(t, "x", text)
		want.URL = "nats://127.0.0.1:4222"
		if got, err := Read("x"); err != nil || got != want {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", text, err, got, want)
		}
	}
}

func TestWhatIsNotUnderstoodIsAnErrorWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		`{"nsc": "nsc://hidden"}`:                    "it has nsc, which feedmux does not know",
		`{"user_jwt": "hidden"}`:                     "it has user_jwt, which feedmux does not know",
		`{"windows_cert_store": "user"}`:             "it has windows_cert_store, which feedmux does not know",
		`{"user": "u", "password": "env://HIDDEN"}`:  "it has a password by env://, which feedmux does not know",
		`{"user": "u", "password": "FILE:///hid"}`:   "it has a password by file://, which feedmux does not know",
		`{"token": "op://hidden"}`:                   "it has a token by op://, which feedmux does not know",
		`{"creds": "nsc://hidden"}`:                  "it has creds by nsc://, which feedmux does not know",
		`{"nkey": "data:;base64,hidden"}`:            "it has an nkey by data:, which feedmux does not know",
		`{"ca": "https://hidden"}`:                   "it has a ca by https://, which feedmux does not know",
		`{"later": 7}`:                               "it has later, which feedmux does not know",
		`{"token": 12345678}`:                        "token must be a string",
		`{"tls_first": "hidden"}`:                    "tls_first must be true or false",
		`{"token": "hidden`:                          "no JSON from byte 17 on",
		`"hidden"`:                                   "no JSON object",
		`{"cert": "c.pem"}`:                          "cert and key go together, and one of them is missing",
		strings.Repeat(" ", regular.Small) + `"hid"`: "is longer than 64 KiB",
	} {
		write(t, "x", text)
		_, err := Read("x")
		if err == nil || !strings.HasPrefix(err.Error(), "reading NATS context x: ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.40s: %v", text, err)
		} else if strings.Contains(err.Error(), "hid") || strings.Contains(err.Error(), "12345678") {
			t.Errorf("%.40s: a secret is shown: %v", text, err)
		}
	}
}

func TestAContextIsFoundByItsName(t *testing.T) {
	write(t, "prod", `{}`)
	for _, name := range []string{"", "..", "a/b", "../prod", `a\b`, "staging"} {
		if _, err := Read(name); err == nil {
			t.Errorf("%q was read", name)
		}
	}
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", home)
	got, err := File("prod")
	if want := filepath.Join(home, ".config", "nats", "context", "prod.json"); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("HOME", "")
	if _, err := File("prod"); err == nil {
		t.Error("found without a home")
	}
}

func TestAPipeInThePlaceOfAContextIsNotWaitedFor(t *testing.T) {
	write(t, "x", `{}`)
	file, err := File("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Skip(err)
	}
	read := make(chan error)
	go func() {
		_, err := Read("x")
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil || !strings.HasSuffix(err.Error(), "is not a regular file") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
