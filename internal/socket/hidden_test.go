package socket

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedactCutsOutWhatThePeerWasTold(t *testing.T) {
	c := &Conn{secrets: strings.NewReplacer("handshake-secret", "[hidden]")}
	const said = "handshake-secret, told-later, word"
	if got := c.Redact(said); got != "[hidden], told-later, word" {
		t.Errorf("before: %q", got)
	}
	c.Hide("told-later")
	c.Hide("word") // is too short for a secret
	if got := c.Redact(said); got != "[hidden], [hidden], word" {
		t.Errorf("after: %q", got)
	}
	for i := range 3 * mostTold {
		c.Hide(fmt.Sprintf("secret-%d", i))
		c.Hide("told-last") // stays, however often it is told
	}
	if n := len(c.told.words); n != mostTold {
		t.Errorf("%d secrets are remembered", n)
	}
	if got := c.Redact("told-last"); got != "[hidden]" {
		t.Errorf("the newest: %q", got)
	}
}
