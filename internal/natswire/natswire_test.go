package natswire

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestAWireEndsWithTheFirstWriteThatFails(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	w, err := wired(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.SetWriteDeadline(time.Unix(1, 0))
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes were written: %v", n, err)
	}
	w.SetWriteDeadline(time.Time{})
	if _, err := w.Write([]byte("y")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the next write says %v", err)
	}
	if _, err := wired(nil, io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("a dial that failed says %v", err)
	}
}
