package socket

import (
	"slices"
	"strings"
	"sync"
)

// mostTold bounds the secrets that are remembered of a long life: a peer that repeats an older one was told it days ago.
const mostTold = 8

// told are the secrets that the peer learnt after the handshake, the newest last.
type told struct {
	mu    sync.Mutex
	words []string
}

// Hide says that the peer is about to be told a secret that the handshake did not hold: from now on it is cut out of the
// peer's words, too. Any goroutine may call it.
func (c *Conn) Hide(secret string) {
	if len(secret) < leastSecret {
		return
	}
	t := &c.told
	t.mu.Lock()
	defer t.mu.Unlock()
	t.words = slices.DeleteFunc(t.words, func(word string) bool { return word == secret })
	if t.words = append(t.words, secret); len(t.words) > mostTold {
		t.words = slices.Delete(t.words, 0, 1)
	}
}

// Redact cuts our secrets out of what the peer said. It is for words that are to be shown: do it before they are
// shortened, or the first half of a secret might stand at the end. Any goroutine may call it.
func (c *Conn) Redact(words string) string {
	words = c.secrets.Replace(words)
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	for _, secret := range c.told.words {
		words = strings.ReplaceAll(words, secret, "[hidden]")
	}
	return words
}
