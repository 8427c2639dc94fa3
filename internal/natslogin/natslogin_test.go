package natslogin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"feedmux/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a NATS server that ends with the test, and returns its URL.
func serve(t *testing.T, o *server.Options) string {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server takes no connections")
	}
	return s.ClientURL()
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// log collects lines of many goroutines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// connect makes a client as the daemon does, and tries until the server lets it in. missing is called once it did not.
func connect(t *testing.T, l Login, log *slog.Logger, missing func()) {
	t.Helper()
	tried := 0
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		nc, err := nats.Connect(l.URL, append([]nats.Option{
			nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(0), nats.Timeout(5 * time.Second),
		}, l.Options(log)...)...)
		if err == nil {
			nc.Close()
			if missing != nil && tried == 0 {
				t.Fatal("it was let in without its credential")
			}
			return
		}
		if tried++; tried == 1 && missing != nil {
			missing()
			continue
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

func TestEachWayToLogInWorksOnceItsFileIsThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "credential")
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountKey, _ := account.PublicKey()
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	operatorKey, _ := operator.PublicKey()
	claims := jwt.NewAccountClaims(accountKey)
	accountJWT, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountKey, accountJWT); err != nil {
		t.Fatal(err)
	}
	operatorClaims := jwt.NewOperatorClaims(operatorKey)

	for name, c := range map[string]struct {
		server *server.Options
		nats   config.NATS
		secret string
	}{
		"password": {&server.Options{Username: "anna", Password: "secret word"},
			config.NATS{User: "anna", PasswordFile: file + "-password"}, "secret word\n"},
		"token": {&server.Options{Authorization: "secret word"},
			config.NATS{TokenFile: file + "-token"}, "secret word\n"},
		"nkey": {&server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}},
			config.NATS{NKeyFile: file + "-nkey"}, string(seed)},
		"creds": {&server.Options{TrustedOperators: []*jwt.OperatorClaims{operatorClaims}, AccountResolver: resolver},
			config.NATS{CredsFile: file + "-creds"}, string(creds)},
	} {
		t.Run(name, func(t *testing.T) {
			c.nats.URL = serve(t, c.server)
			l, err := Of(c.nats)
			if err != nil {
				t.Fatal(err)
			}
			out := new(log)
			connect(t, l, slog.New(slog.NewTextHandler(out, nil)), func() { write(t, file+"-"+name, c.secret) })
			if strings.Contains(out.String(), "secret word") {
				t.Errorf("the log shows it: %s", out.String())
			}
		})
	}
}

// authority makes a certificate that signs, as a CA and for 127.0.0.1, in files.
func authority(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	return cert, key
}

func TestTLSVerifiesTheServerAndShowsOurCertificate(t *testing.T) {
	cert, key := authority(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(func() *x509.Certificate { c, _ := x509.ParseCertificate(pair.Certificate[0]); return c }())
	for _, first := range []bool{false, true} {
		url := serve(t, &server.Options{
			TLS: true, TLSTimeout: 5, TLSHandshakeFirst: first,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
		})
		c := config.NATS{URL: url, TLS: config.NATSTLS{CAFile: cert, CertFile: cert, KeyFile: key, First: first}}
		l, err := Of(c)
		if err != nil {
			t.Fatal(err)
		}
		connect(t, l, slog.New(slog.DiscardHandler), nil)
		c.TLS.CAFile, _ = authority(t)
		l, _ = Of(c)
		nc, err := nats.Connect(url, append(l.Options(slog.New(slog.DiscardHandler)), nats.MaxReconnects(0))...)
		if err == nil {
			nc.Close()
			t.Errorf("first %v: a server of another authority was believed", first)
		}
	}
}

func TestAContextSaysEverything(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	url := serve(t, &server.Options{Username: "anna", Password: "secret word"})
	write(t, filepath.Join(dir, "nats", "context", "prod.json"), `{"url": "`+url+`", "user": "anna", "password": "secret word"}`)
	l, err := Of(config.NATS{Context: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, l, slog.New(slog.DiscardHandler), nil)
	if _, err := Of(config.NATS{Context: "other"}); err == nil {
		t.Error("a context that is not there is no error")
	}
}

func TestAPipeInThePlaceOfAFileIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	cert, key := authority(t)
	for name, c := range map[string]config.NATS{
		"creds": {CredsFile: pipe}, "nkey": {NKeyFile: pipe}, "password": {User: "anna", PasswordFile: pipe}, "token": {TokenFile: pipe},
		"ca": {TLS: config.NATSTLS{CAFile: pipe}}, "cert": {TLS: config.NATSTLS{CertFile: pipe, KeyFile: key}},
		"key": {TLS: config.NATSTLS{CertFile: cert, KeyFile: pipe}},
	} {
		c.URL = serve(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
		l, err := Of(c)
		if err != nil {
			t.Fatal(err)
		}
		out := new(log)
		ended := make(chan error)
		go func() {
			nc, err := nats.Connect(c.URL, append(l.Options(slog.New(slog.NewTextHandler(out, nil))), nats.MaxReconnects(0))...)
			if err == nil {
				nc.Close()
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error()+out.String(), pipe+" is not a regular file") {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the connecting waits", name)
		}
	}
}
