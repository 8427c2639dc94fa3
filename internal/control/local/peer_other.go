//go:build !linux

package local

import "net"

// peerOf knows nobody here: the log says that somebody with access to the socket asked.
func peerOf(*net.UnixConn) peer { return peer{} }
