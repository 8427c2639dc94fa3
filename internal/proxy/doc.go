// Package proxy asks proxies for tunnels: HTTP proxies by CONNECT, and SOCKS5. The proxy resolves the name of the
// target. TLS is not spoken to the proxy itself, only through it, so a proxy sees where we go and, of wss, no more.
//
// A Proxy is made by Parse from a URL, or by FromEnvironment from the variables that other programs know. It opens no
// connection: it is handed one to its Address, and says there what it takes until the next byte is the target's. So
// the caller keeps its own socket, with its options and its view of how the connection ends.
//
// The user name and password of a proxy are shown by nothing here. Errors hold none of the proxy's own words, which
// might repeat them.
package proxy
