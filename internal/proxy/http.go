package proxy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// maxAnswer bounds the heads of all that an HTTP proxy answers, in bytes.
const maxAnswer = 64 << 10

// askHTTP says CONNECT and reads the answer. Any status of 200 to 299 opens the tunnel, and its head ends with the
// empty line whatever it says of a body (RFC 9110, 9.3.6). Informational answers may come before.
func (p Proxy) askHTTP(conn net.Conn, hostport string) error {
	request := "CONNECT " + hostport + " HTTP/1.1\r\nHost: " + hostport + "\r\n"
	if p.authenticate {
		request += "Proxy-Authorization: Basic " + p.basic() + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	room := maxAnswer
	for {
		head, err := readHead(conn, room)
		if err != nil {
			return err
		}
		room -= len(head)
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
		switch {
		case err != nil: // which quotes the proxy
			return &RefusedError{"its answer is not HTTP"}
		case answer.StatusCode == http.StatusSwitchingProtocols, answer.StatusCode >= 300:
			text := fmt.Sprintf("it answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
			return &RefusedError{strings.TrimSpace(text)}
		case answer.StatusCode >= 200:
			return nil
		}
	}
}

func (p Proxy) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(p.user + ":" + p.password))
}

// readHead reads to the end of the first empty line and no further, since what follows may be the target's already.
// For that it takes one byte at a time: a few hundred system calls for each dial.
func readHead(conn net.Conn, most int) ([]byte, error) {
	var head []byte
	var b [1]byte
	for len(head) < most {
		if _, err := conn.Read(b[:]); err != nil {
			return nil, err
		}
		head = append(head, b[0])
		if b[0] == '\n' && (bytes.HasSuffix(head, []byte("\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n"))) {
			return head, nil
		}
	}
	return nil, &RefusedError{"its answer is longer than 64 KiB"}
}
