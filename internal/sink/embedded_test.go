package sink

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func startEmbedded(t *testing.T, o EmbeddedOptions) (*Embedded, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if o.StoreDir == "" {
		o.StoreDir = filepath.Join(t.TempDir(), "nats")
	}
	e, err := StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return e, log
}

func TestGuestsOfTheEmbeddedServerMayOnlyRead(t *testing.T) {
	t.Parallel()
	e, log := startEmbedded(t, EmbeddedOptions{Listen: "127.0.0.1:0", Roots: []string{"acme"}})
	url := "nats://" + e.Addr().String()
	c := startCore(t, Options{Connect: e.Connect()})
	var subs []*subscriber
	for _, subject := range []string{"feed.>", "feedmux.>", "acme.f.*"} {
		subs = append(subs, subscribe(t, url, subject))
	}
	for i, subject := range []string{"feed.f.t", "feedmux.feed.f", "acme.f.t"} {
		ev := event(subject)
		ev.Subject = subject
		if err := publish(c.feed, ev); err != nil {
			t.Fatal(err)
		}
		subs[i].want(t, subject)
	}
	if got := c.Stats().Server; got != "in this process" {
		t.Errorf("the server is shown as %q", got)
	}

	refused := make(chan error, 10)
	guest, err := nats.Connect(url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	wantRefused := func(what string) {
		t.Helper()
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v, want a permission violation", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s was not refused", what)
		}
	}
	for _, subject := range []string{">", "*", "$SYS.>", "_INBOX.x", "$JS.>", "*.f.t", "private"} {
		if _, err := guest.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		wantRefused("subscribing to " + subject)
	}
	for _, subject := range []string{"feed.f.t", "feedmux.feed.f", "acme.f.t", "$SYS.REQ.SERVER.PING", "_INBOX.x", "private"} {
		if err := guest.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
		wantRefused("publishing to " + subject)
	}
	for _, sub := range subs {
		sub.wantNoMore(t)
	}
	if s := log.String(); strings.Contains(s, "WARN") {
		t.Errorf("ordinary use is no reason to warn: %s", s)
	}
}

func TestNobodyElseCanLogInToTheEmbeddedServer(t *testing.T) {
	t.Parallel()
	e, _ := startEmbedded(t, EmbeddedOptions{Listen: "127.0.0.1:0"})
	url := "nats://" + e.Addr().String()
	own, err := e.own.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	forge := func([]byte) ([]byte, error) { return make([]byte, 64), nil }
	for name, option := range map[string]nats.Option{
		"a name and a password":    nats.UserInfo("feedmux", "x"),
		"a guest with a password":  nats.UserInfo("guest", ""),
		"a token":                  nats.Token("x"),
		"the daemon without a key": nats.Nkey(own, forge),
	} {
		nc, err := nats.Connect(url, option)
		if err == nil {
			nc.Close()
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want ErrAuthorization", name, err)
		}
	}
}

func TestAnEmbeddedServerCanKeepOffTheNetwork(t *testing.T) {
	t.Parallel()
	e, _ := startEmbedded(t, EmbeddedOptions{})
	if e.Addr() != nil {
		t.Errorf("it listens on %v", e.Addr())
	}
	c := startCore(t, Options{Connect: e.Connect()})
	c.publish(t, "a")
	eventually(t, "it is sent", func() bool { return c.Stats().Feeds[0].Published == 1 })
	if err := c.stop(); err != nil {
		t.Error(err)
	}
}

func TestTheStoreDirectoryHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "nats")
	o := EmbeddedOptions{StoreDir: dir, Log: slog.New(slog.DiscardHandler)}
	first, err := StartEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v; want mode 0700", info, err)
	}
	if second, err := StartEmbedded(o); err == nil {
		second.Shutdown()
		t.Error("two servers have the same directory")
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	third, err := StartEmbedded(o)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	if err := third.Shutdown(); err != nil {
		t.Error(err)
	}
}

func TestAnEmbeddedServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	e, _ := startEmbedded(t, EmbeddedOptions{Listen: "127.0.0.1:0"})
	dir := t.TempDir()
	start := func(listen, dir string) error {
		e, err := StartEmbedded(EmbeddedOptions{Listen: listen, StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			e.Shutdown()
		}
		return err
	}
	if err := start(e.Addr().String(), dir); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	for _, listen := range []string{"127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"} {
		if err := start(listen, dir); err == nil {
			t.Errorf("it listens on %q", listen)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start("", file); err == nil {
		t.Error("a file serves as store directory")
	}
	if err := start("127.0.0.1:0", dir); err != nil {
		t.Errorf("after failures the directory is still locked: %v", err)
	}
}
