package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"feedmux/internal/control"
)

// Name is the socket's name in its directory.
const Name = "control.sock"

// mode lets the owner and the group in.
const mode = 0o660

// maxPath is how long the path of a socket may be: 107 bytes on Linux, 103 on macOS.
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Socket is the daemon's end: open for connections since Listen, answered while Serve runs.
type Socket struct{ door door }

// Options say what a Socket answers with. All are required.
type Options struct {
	Daemon Daemon
	Status http.Handler // package control's; it hears the Host "localhost"
	Log    *slog.Logger
}

// Listen opens the socket in dir, which must exist. The socket of a daemon that died is replaced; one that still answers is
// an error. Close, or the end of Serve, removes it.
func Listen(dir string) (*Socket, error) {
	path := filepath.Join(dir, Name)
	if len(path) > maxPath {
		return nil, fmt.Errorf("control socket: %w: set RUNTIME_DIRECTORY to a shorter one", tooLong(path))
	}
	if err := sweep(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Socket{door{path: path, look: lookEvery, l: l}}, nil
}

// listen makes the socket.
func listen(path string) (*net.UnixListener, error) {
	listening := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		// On Linux the file is born with the mode of the descriptor, less the umask: so it is never open to all.
		// Elsewhere the call fails, and the umask alone protects it until Chmod below.
		return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), mode) })
	}}
	l, err := listening.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// sweep removes the socket of a daemon that is gone, and nothing else.
func sweep(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%s is in use: another feedmux answers there", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("%s may be in use: %w", path, err)
}

// Path is where the socket is.
func (s *Socket) Path() string { return s.door.path }

// Close gives up and removes a socket that was never served.
func (s *Socket) Close() error { return s.door.Close() }

// Serve answers requests until ctx ends, then returns nil once all have ended: those that look on at events at once,
// others after three seconds at most. It makes the socket again if somebody removes it, and removes it at its end.
func (s *Socket) Serve(ctx context.Context, o Options) error {
	keeping, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	keeper.Go(func() { s.door.keep(keeping, o.Log) })
	return control.Serve(ctx, &s.door, newHandler(ctx, o), o.Log)
}
