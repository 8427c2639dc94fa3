package control

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
)

func TestWhoIsBeingAnsweredIsNotThrownOutForWhoSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				<-finish
			}
		}))
		ask := func() net.Conn {
			c := s.dial(t)
			fmt.Fprint(c, "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait()
			return c
		}
		answered := func(c net.Conn) bool {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			return err == nil && res.StatusCode == http.StatusOK
		}
		first := []net.Conn{ask(), ask()}
		for i := range 2 * maxConns {
			c := s.dial(t)
			synctest.Wait()
			if i%2 == 0 { // others begin a request, and don't end it
				fmt.Fprint(c, "G")
				synctest.Wait()
			}
		}
		wantHealthy(t, s)
		// Only where everyone is being answered, one of them makes room.
		var more []net.Conn
		for range maxConns - len(first) {
			more = append(more, ask())
		}
		wantHealthy(t, s)
		close(finish)
		if answered(first[0]) {
			t.Error("the one that had been answered for longest made no room")
		}
		for i, c := range append(first[1:], more...) {
			if !answered(c) {
				t.Errorf("%d: thrown out while it was answered", i+1)
			}
		}
		s.stop()
		<-s.ended
	})
}
