package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"feedmux/internal/subject"
)

// startWithin is how long the server may take until it accepts connections.
const startWithin = 10 * time.Second

// Options say how the NATS server inside the process is reached, and by whom.
type Options struct {
	Listen   string   // host:port; port 0: one that is free. "": reached from inside the process only
	StoreDir string   // made if it is not there, and locked
	Roots    []string // first tokens of subjects that guests may read beside "feed" and "feedmux"
	Log      *slog.Logger
}

// Server is a NATS server inside the process. The daemon is a user with a key of its own: 256 random bits, new at each
// start, that never leave the process. Whoever connects without credentials is a guest, who may subscribe to what
// feedmux publishes, and publish nothing. Nobody else can log in.
type Server struct {
	server *server.Server
	lock   *flock.Flock
	own    nkeys.KeyPair
}

// Start starts the server and returns when it takes connections. Shutdown ends it.
func Start(o Options) (*Server, error) {
	lock, err := lockStore(o.StoreDir)
	if err != nil {
		return nil, err
	}
	e := &Server{lock: lock}
	if err := e.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded NATS server: %w", err), lock.Unlock())
	}
	return e, nil
}

// lockStore makes dir and keeps every other process out of it: the server itself would let two of them write there.
func lockStore(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store directory of the embedded NATS server: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "feedmux.lock"), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the store directory of the embedded NATS server: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("locking the store directory of the embedded NATS server: %s is in use by another process", dir)
	}
	return lock, nil
}

func (e *Server) start(o Options) error {
	var err error
	if e.own, err = nkeys.CreateUser(); err != nil {
		return fmt.Errorf("making the key of the daemon: %w", err)
	}
	own, err := e.own.PublicKey()
	if err != nil {
		return err
	}
	nobody, err := nkeys.CreateUser() // guests show no key, so theirs only gives them a name
	if err != nil {
		return fmt.Errorf("making the key of the guests: %w", err)
	}
	guest, err := nobody.PublicKey()
	if err != nil {
		return err
	}
	readable := []string{"feed.>", subject.NoticeRoot + ".>"}
	for _, root := range o.Roots {
		readable = append(readable, root+".>")
	}
	options := &server.Options{
		ServerName: "feedmux",
		DontListen: o.Listen == "",
		StoreDir:   o.StoreDir,
		NoSigs:     true,
		Nkeys:      []*server.NkeyUser{{Nkey: own}, {Nkey: guest, Permissions: guestPermissions(readable)}},
		NoAuthUser: guest,
	}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return fmt.Errorf("reading the address to listen on: %w", err)
		}
		options.Host = host
		if options.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("reading the port to listen on: %w", err)
		}
		if options.Port == 0 {
			options.Port = server.RANDOM_PORT
		}
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	log := &serverLog{log: o.Log, readable: readable}
	s.SetLoggerV2(log, false, false, false)
	e.server = s
	s.Start()
	for begin := time.Now(); !s.ReadyForConnections(20 * time.Millisecond); {
		err := log.failure()
		if err == nil && time.Since(begin) > startWithin {
			err = errors.New("it takes no connections")
		}
		if err != nil {
			e.stop()
			return err
		}
	}
	return nil
}

// guestPermissions let guests subscribe to what is readable and nothing else.
func guestPermissions(readable []string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: []string{">"}},
		Subscribe: &server.SubjectPermission{Allow: readable},
	}
}

// Connect is how the daemon reaches the server: past the network, with its own key. It is for whoever connects from inside.
func (e *Server) Connect() []nats.Option {
	key := func(o *nats.Options) error {
		public, err := e.own.PublicKey()
		o.Nkey, o.SignatureCB = public, e.own.Sign
		return err
	}
	return []nats.Option{nats.InProcessServer(e.server), key}
}

// Addr is where guests connect, or nil if the server is reached from inside the process only.
func (e *Server) Addr() net.Addr {
	return e.server.Addr()
}

// Shutdown closes every connection, waits for the server's end, and unlocks the store directory.
func (e *Server) Shutdown() error {
	e.stop()
	return e.lock.Unlock()
}

func (e *Server) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
