package local

import (
	"fmt"
	"net"
	"os/user"
	"strconv"
)

// door is a listener that knows who comes in.
type door struct{ *net.UnixListener }

func (d door) Accept() (net.Conn, error) {
	c, err := d.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return visitor{c, peerOf(c)}, nil
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
