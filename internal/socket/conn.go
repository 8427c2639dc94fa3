package socket

import (
	"bufio"
	"bytes"
	crand "crypto/rand"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// Kind is the kind of a message.
type Kind uint8

const (
	Text Kind = iota + 1
	Binary
)

// Conn is one WebSocket connection. See the package comment for who may call what.
type Conn struct {
	wire    *wire             // the raw connection
	stream  net.Conn          // the same, or TLS over it
	secrets *strings.Replacer // of the handshake
	told    told

	// Owned by the goroutine that calls Read.
	br         *bufio.Reader
	maxMessage int64
	header     [ws.MaxHeaderSize]byte
	held       int    // bytes of br that the last Message shows
	buf        []byte // messages that were fragmented or are larger than br
	err        error  // set once, returned ever after

	// turn is the right to write. It is a channel so that whoever waits for it also learns of the end.
	turn chan struct{}

	// Owned by whoever has the turn.
	masks     *rand.ChaCha8
	out       bytes.Buffer // one frame
	outHeader [ws.MaxHeaderSize]byte
	writeErr  error // why nothing can be written any more

	pong     pong         // guards itself
	lastPong atomic.Int64 // as wire.lastRead

	stopOnce  sync.Once
	stopCause error         // why the connection is over; set before stopped is closed
	stopped   chan struct{} // closed when it is
	released  atomic.Bool   // Close was called
}

func newConn(w *wire, stream net.Conn, br *bufio.Reader, maxMessage int, secrets *strings.Replacer) *Conn {
	if maxMessage <= 0 {
		maxMessage = defaultMaxMessage
	}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	return &Conn{
		wire:       w,
		stream:     stream,
		secrets:    secrets,
		br:         br,
		maxMessage: int64(maxMessage),
		turn:       make(chan struct{}, 1),
		masks:      rand.NewChaCha8(seed),
		stopped:    make(chan struct{}),
	}
}
