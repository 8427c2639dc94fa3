package websocket

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrNoHandshake is a request that does not open a WebSocket.
var ErrNoHandshake = errors.New("not a WebSocket handshake")

// ReadHandshake reads the request that opens a WebSocket and returns it with its key.
func ReadHandshake(r *bufio.Reader) (req *http.Request, key string, err error) {
	req, err = http.ReadRequest(r)
	if err != nil {
		return nil, "", fmt.Errorf("reading the handshake: %w", err)
	}
	key = req.Header.Get("Sec-WebSocket-Key")
	raw, err := base64.StdEncoding.DecodeString(key)
	if req.Method != http.MethodGet || err != nil || len(raw) != 16 || req.Header.Get("Sec-WebSocket-Version") != "13" ||
		!hasToken(req.Header, "Connection", "upgrade") || !AsksForWebSocket(req) {
		return nil, "", ErrNoHandshake
	}
	return req, key, nil
}

// AsksForWebSocket says whether a request means to open a WebSocket, rightly or not.
func AsksForWebSocket(req *http.Request) bool { return hasToken(req.Header, "Upgrade", "websocket") }

func hasToken(h http.Header, name, want string) bool {
	for _, line := range h.Values(name) {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), want) {
				return true
			}
		}
	}
	return false
}

// SwitchingProtocols is the answer that opens a WebSocket.
func SwitchingProtocols(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
}

// HTTPAnswer is an answer without a body; header holds complete lines.
func HTTPAnswer(status int, header string) []byte { return HTTPAnswerWith(status, header, nil) }

// HTTPAnswerWith is an answer with a body; header holds complete lines.
func HTTPAnswerWith(status int, header string, body []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), header, len(body), body)
}
