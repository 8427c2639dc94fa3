package embedded

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func startEmbedded(t *testing.T, o Options) (*Server, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if o.StoreDir == "" {
		o.StoreDir = filepath.Join(t.TempDir(), "nats")
	}
	e, err := Start(o)
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

func connect(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// logBuffer is what was logged so far.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestGuestsOfTheEmbeddedServerMayOnlyRead(t *testing.T) {
	t.Parallel()
	e, log := startEmbedded(t, Options{Listen: "127.0.0.1:0", Roots: []string{"acme"}})
	url := "nats://" + e.Addr().String()
	daemon := connect(t, "", e.Connect()...)
	refused := make(chan error, 10)
	guest := connect(t, url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	var subs []*nats.Subscription
	for _, subject := range []string{"feed.>", "feedmux.>", "acme.f.*"} {
		sub, err := guest.SubscribeSync(subject)
		if err := errors.Join(err, guest.Flush()); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	for i, subject := range []string{"feed.f.t", "feedmux.feed.f", "acme.f.t"} {
		if err := daemon.Publish(subject, []byte(subject)); err != nil {
			t.Fatal(err)
		}
		if m, err := subs[i].NextMsg(10 * time.Second); err != nil || string(m.Data) != subject {
			t.Fatalf("%s: %v", subject, err)
		}
	}

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
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("%d messages more came (%v)", n, err)
		}
	}
	for i, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		if !strings.Contains(line, `level=WARN msg="the embedded NATS server complains" text=`) ||
			!strings.HasSuffix(line, `guests_may_only_read="feed.> feedmux.> acme.>"`) || i == 0 && !strings.Contains(line, `Subject \">\"`) {
			t.Errorf("logged: %s", line)
		}
	}
}

func TestNobodyElseCanLogInToTheEmbeddedServer(t *testing.T) {
	t.Parallel()
	e, _ := startEmbedded(t, Options{Listen: "127.0.0.1:0"})
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
	e, _ := startEmbedded(t, Options{})
	if e.Addr() != nil {
		t.Errorf("it listens on %v", e.Addr())
	}
	if err := connect(t, "", e.Connect()...).Flush(); err != nil {
		t.Error(err)
	}
}

func TestTheStoreDirectoryHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "nats")
	o := Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)}
	first, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v; want mode 0700", info, err)
	}
	if second, err := Start(o); err == nil {
		second.Shutdown()
		t.Error("two servers have the same directory")
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	third, err := Start(o)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	if err := third.Shutdown(); err != nil {
		t.Error(err)
	}
}

func TestAnEmbeddedServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	e, _ := startEmbedded(t, Options{Listen: "127.0.0.1:0"})
	dir := t.TempDir()
	start := func(listen, dir string) error {
		e, err := Start(Options{Listen: listen, StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
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
