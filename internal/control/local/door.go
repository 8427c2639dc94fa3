package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"
)

// door is a listener that knows who comes in, and whose socket can be made again.
type door struct {
	path string
	look time.Duration // between two looks at whether it is there

	mu     sync.Mutex
	l      *net.UnixListener
	closed bool
}

// Accept waits for somebody.
func (d *door) Accept() (net.Conn, error) {
	for {
		l := d.now()
		c, err := l.AcceptUnix()
		if err == nil {
			return visitor{c, peerOf(c)}, nil
		}
		if d.now() == l {
			return nil, err
		}
	}
}

func (d *door) now() *net.UnixListener {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.l
}

// Addr is where the door is.
func (d *door) Addr() net.Addr { return d.now().Addr() }

// Close removes the socket.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.l.Close()
}

// lookEvery is how often the daemon looks whether its socket is still there. Whoever tidies up a folder of such files may remove
// it, and then nobody finds a daemon that runs.
const lookEvery = 5 * time.Second

// keep makes the socket again whenever it is gone, until ctx ends.
func (d *door) keep(ctx context.Context, log *slog.Logger) {
	look := time.NewTicker(d.look)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if _, err := os.Lstat(d.path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := d.again(); err != nil {
			log.Warn("the control socket is gone, and cannot be made again", "error", err)
			continue
		}
		log.Warn("the control socket was gone, and was made again", "path", d.path)
	}
}

func (d *door) again() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	l, err := listen(d.path)
	if err != nil {
		return err
	}
	d.l.SetUnlinkOnClose(false) // its file is gone, and the name is the new one's
	d.l.Close()
	d.l = l
	return nil
}

// visitor is a connection whose remote address says who is there: that is http.Request.RemoteAddr then.
type visitor struct {
	*net.UnixConn
	peer peer
}

func (v visitor) RemoteAddr() net.Addr { return v.peer }

// peer is the process at the other end, as the kernel saw it connect.
type peer struct {
	known    bool
	uid, pid int
}

func (peer) Network() string { return "unix" }

// String is for people. It may read the list of users, so only the goroutine of the connection calls it.
func (p peer) String() string {
	if !p.known {
		return "somebody on this machine"
	}
	uid := strconv.Itoa(p.uid)
	if u, err := user.LookupId(uid); err == nil {
		uid += " (" + u.Username + ")"
	}
	return fmt.Sprintf("uid %s, pid %d", uid, p.pid)
}
