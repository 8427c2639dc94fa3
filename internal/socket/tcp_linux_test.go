package socket

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketsNoticeADeadPeer(t *testing.T) {
	noticesADeadPeer(t, Options{})
	noticesADeadPeer(t, Options{Proxy: &aside{}})
}

func noticesADeadPeer(t *testing.T, o Options) {
	t.Helper()
	c, _ := overTCP(t, o)
	raw, err := c.wire.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for _, option := range []struct {
			name             string
			level, opt, want int
		}{
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 20_000},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
			{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP}, // not Multipath TCP
		} {
			if got, err := unix.GetsockoptInt(int(fd), option.level, option.opt); err != nil || got != option.want {
				t.Errorf("%s is %d, want %d (%v)", option.name, got, option.want, err)
			}
		}
	})
}
