package socket

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
)

// exchange is one case: what the server sends, and what must come of it.
type exchange struct {
	name     string
	send     [][]byte
	messages []string // as Message.String
	said     []string // what the client sends, as clientFrame.String
	newest   bool     // said begins with a pong, and one for an earlier ping may come before it
	end      string   // as endOf; "": the case ends well, with a Close that the test adds
	then     int      // what the server does next
}

func endOf(err error) string {
	var closed *CloseError
	var broken *ProtocolError
	switch {
	case errors.As(err, &closed):
		return strings.TrimSpace(fmt.Sprintf("closed %d %s", closed.Code, closed.Reason))
	case errors.As(err, &broken):
		return fmt.Sprintf("protocol %d", broken.Code)
	case errors.Is(err, ErrTooBig):
		return "too big"
	case errors.Is(err, ErrNoClose):
		return "no close"
	case errors.Is(err, ErrStalled):
		return "stalled"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	}
	return err.Error()
}

const testMaxMessage = 100_000

// What a server does once it has sent everything.
const (
	answersClose = iota // says FIN when the client's Close came
	saysFIN
	saysRST
	saysNothing
)

func run(t *testing.T, cases []exchange) {
	for _, e := range cases {
		for _, how := range chops {
			t.Run(e.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { e.run(t, how) })
			})
		}
	}
}

func (e exchange) run(t *testing.T, how string) {
	ours, theirs := pair(t)
	c, p := openOver(t, Options{MaxMessage: testMaxMessage}, ours, theirs)
	chopped := chop(ours, how, e.send)
	c.wire.Conn = chopped
	p.listen(e.then == answersClose)
	said, end := e.said, e.end
	began := time.Now()
	go func() {
		if _, err := p.Write(bytes.Join(e.send, nil)); err != nil {
			t.Errorf("sending: %v", err)
		}
		switch e.then {
		case answersClose:
			if e.end == "" {
				time.Sleep(time.Second) // for a pong that is under way
				p.Write(closeFrame(1000, "bye"))
			}
		case saysFIN:
			theirs.CloseWrite()
		case saysRST:
			theirs.Reset()
		}
	}()
	if end == "" {
		end, said = "closed 1000 bye", append(slices.Clone(said), "close 1000")
	}
	messages, err := readAll(t, c)
	if !slices.Equal(messages, e.messages) {
		t.Errorf("read  %q\nwant  %q", messages, e.messages)
	}
	if got := endOf(err); got != end {
		t.Errorf("ended with %q, want %q", got, end)
	}
	if c.PeerGone() == (e.then == saysNothing) {
		t.Errorf("peer gone: %v", c.PeerGone())
	}
	if took := time.Since(began); e.then == saysNothing && took != closeTime || took > closeTime {
		t.Errorf("took %v", took)
	}
	if err := c.Write(Text, []byte("late")); err == nil {
		t.Error("Write after the end worked")
	}
	c.Close()
	<-p.done
	if got := p.said(); !e.saidAsItShould(got, said) {
		t.Errorf("client said %q\nwant        %q", got, said)
	}
	if len(chopped.pieces) != 0 && e.then == answersClose {
		t.Errorf("%d pieces were not read", len(chopped.pieces))
	}
}

// saidAsItShould: of many pings only the newest must be answered.
func (e exchange) saidAsItShould(got, want []string) bool {
	if e.newest && len(got) == len(want)+1 {
		got = got[1:]
	}
	return slices.Equal(got, want)
}

// sized is a payload that shows when its parts are mixed up.
func sized(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i*7/3%26)
	}
	return string(b)
}

func show(k Kind, payload string) string { return Message{Kind: k, Data: []byte(payload)}.String() }

func TestGroupAFraming(t *testing.T) {
	var cases []exchange
	for _, n := range []int{0, 1, 125, 126, 127, 128, readBuffer - 4, readBuffer, readBuffer + 1, 65535, 65536, testMaxMessage} {
		s := sized(n)
		cases = append(cases,
			exchange{name: fmt.Sprintf("text of %d", n), send: [][]byte{frame(0x81, s)}, messages: []string{show(Text, s)}},
			exchange{name: fmt.Sprintf("binary of %d, twice", n), send: [][]byte{frame(0x82, s), frame(0x82, s)},
				messages: []string{show(Binary, s), show(Binary, s)}})
	}
	declared := func(n uint64) []byte {
		return []byte{0x82, 127, byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	cases = append(cases, []exchange{
		{name: "16-bit length that needs 7", send: [][]byte{append([]byte{0x81, 126, 0, 5}, "hello"...)}, messages: []string{"text hello"}},
		{name: "64-bit length that needs 16", send: [][]byte{append([]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 200}, sized(200)...)},
			messages: []string{"text " + sized(200)}},
		{name: "64-bit length with its highest bit", send: [][]byte{declared(1 << 63)}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "2^62 bytes declared", send: [][]byte{declared(1 << 62)}, end: "too big", said: []string{"close 1009"}},
		{name: "one byte above 16 MiB declared", send: [][]byte{declared(ceiling + 1)}, end: "too big", said: []string{"close 1009"}},
		{name: "longer than MaxMessage", send: [][]byte{frame(0x81, sized(testMaxMessage+1)), frame(0x82, "next")},
			messages: []string{"text too big", "binary next"}},
		{name: "masked frame", send: [][]byte{{0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1}},
			end: "protocol 1002", said: []string{"close 1002"}},
		{name: "masked empty frame", send: [][]byte{{0x81, 0x80, 1, 2, 3, 4}}, end: "protocol 1002", said: []string{"close 1002"}},
	}...)
	run(t, cases)
}

func TestGroupBControl(t *testing.T) {
	long := sized(125)
	pings := func(n int) (frames [][]byte) {
		for i := range n {
			frames = append(frames, frame(0x89, fmt.Sprint(i)))
		}
		return frames
	}
	run(t, []exchange{
		{name: "ping without payload", send: [][]byte{frame(0x89, "")}, said: []string{"pong "}},
		{name: "ping with text", send: [][]byte{frame(0x89, "hello")}, said: []string{"pong hello"}},
		{name: "ping that is not UTF-8", send: [][]byte{frame(0x89, "\x00\xff\xfe\xfd")}, said: []string{"pong \x00\xff\xfe\xfd"}},
		{name: "ping of 125", send: [][]byte{frame(0x89, long)}, said: []string{"pong " + long}},
		{name: "ping of 126", send: [][]byte{frame(0x89, sized(126))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "pong of 126", send: [][]byte{frame(0x8a, sized(126))}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "fragmented ping", send: [][]byte{frame(0x09, "a"), frame(0x80, "b")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "fragmented pong", send: [][]byte{frame(0x0a, "a"), frame(0x80, "b")}, end: "protocol 1002", said: []string{"close 1002"}},
		{name: "pong that nobody asked for", send: [][]byte{frame(0x8a, "x"), frame(0x81, "ok")}, messages: []string{"text ok"}},
		{name: "ten pings at once", send: pings(10), newest: true, said: []string{"pong 9"}},
		{name: "ten thousand pings at once", send: pings(10_000), newest: true, said: []string{"pong 9999"}},
		{name: "message and ping", send: [][]byte{frame(0x81, "a"), frame(0x89, "p"), frame(0x81, "b")},
			messages: []string{"text a", "text b"}, said: []string{"pong p"}},
	})
}

func TestGroupCReservedBitsAndOpcodes(t *testing.T) {
	var cases []exchange
	bad := func(name string, f []byte) {
		cases = append(cases, exchange{name: name, send: [][]byte{frame(0x81, "good"), f, frame(0x81, "after")},
			messages: []string{"text good"}, end: "protocol 1002", said: []string{"close 1002"}})
	}
	for rsv := byte(1); rsv <= 7; rsv++ {
		bad(fmt.Sprintf("rsv %d on text", rsv), frame(0x81|rsv<<4, "x"))
		bad(fmt.Sprintf("rsv %d on ping", rsv), frame(0x89|rsv<<4, "x"))
		bad(fmt.Sprintf("rsv %d on close", rsv), frame(0x88|rsv<<4, "\x03\xe8"))
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		bad(fmt.Sprintf("opcode %d, empty", op), frame(0x80|op, ""))
		bad(fmt.Sprintf("opcode %d, with payload", op), frame(0x80|op, "payload"))
	}
	run(t, cases)
}
