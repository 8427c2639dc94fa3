//go:build !linux

package socket

import "syscall"

// setUserTimeout does nothing: elsewhere the caller's pings notice a dead connection.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
