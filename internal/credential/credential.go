// Package credential is what the slots of a feed know of the secret that they dial with.
package credential

import (
	"sync"

	"feedmux/shard"
)

// Credential is what the slots of a feed know of the secret that they dial with. Once an upstream has refused it,
// nobody dials until it has changed; then one slot tries it for all. The zero value is a secret that nothing is known
// against. Methods may be called by any goroutine.
type Credential struct {
	mu      sync.Mutex
	changes int
	dead    bool // as it was at deadAt
	deadAt  int
	trying  *shard.Slot // the one that tries the changed one

	refused func() // nil: nobody wants to know
}

// New makes a Credential that calls refused, which must not wait, each time that the upstream has refused the newest secret:
// once for each.
func New(refused func()) *Credential { return &Credential{refused: refused} }

// Changed says that the secret is another one now.
func (c *Credential) Changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
}

// Changes is how often the secret has changed: what is read of it from now on is that one, or a newer one.
func (c *Credential) Changes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// May says whether a slot may dial, and with the how-manieth secret it does.
func (c *Credential) May(s shard.Slot) (changes int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead {
		return c.changes, true
	}
	if c.changes == c.deadAt || c.trying != nil && *c.trying != s {
		return c.changes, false
	}
	c.trying = &s
	return c.changes, true
}

// Refused says that the upstream refused the secret as it was after so many changes.
func (c *Credential) Refused(changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead || changes > c.deadAt {
		c.dead, c.deadAt = true, changes
		if changes == c.changes && c.refused != nil {
			c.refused()
		}
	}
	c.trying = nil
}

// Accepted says that the upstream let a slot in with the secret as it was after so many changes. That is no news of a
// newer one.
func (c *Credential) Accepted(changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes >= c.deadAt {
		c.dead, c.trying = false, nil
	}
}

// GivenUp says that a slot does not dial now, or learnt nothing of the secret: if it was to try it, another one may.
func (c *Credential) GivenUp(s shard.Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trying != nil && *c.trying == s {
		c.trying = nil
	}
}
