package local

import (
	"net"
	"syscall"
)

// peerOf asks the kernel who connected.
func peerOf(c *net.UnixConn) (p peer) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}
	}
	_ = raw.Control(func(fd uintptr) { // fails only where the connection is closed already
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil {
			p = peer{known: true, uid: int(cred.Uid), pid: int(cred.Pid)}
		}
	})
	return p
}
