package conn

import (
	"time"

	"feedmux/internal/account"
	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/reader"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
)

// life is one socket in a slot, as the Conn sees it. All but the Reader is owned by Conn.Run.
type life struct {
	*reader.Reader
	seat         *account.Seat
	asks         *asks.Asks
	pings        asks.Pings
	controlPings bool                       // its pings are WebSocket's own
	changes      int                        // of the credential that it was dialled with
	renewals     int                        // Order.Renewals when it began
	retireAt     time.Time                  // when it is to be handed over because of its age; zero: never
	opened       time.Time                  // when the handshake was answered
	liveSince    time.Time                  // zero before the first application frame
	move         cause.Cause                // why it must be handed over, if the upstream said so
	moveBy       time.Time                  // and when the upstream ends it; zero: nobody knows
	giveUpAt     time.Time                  // hand-over: when the new life should have been ready
	readyAt      time.Time                  // hand-over: when the new life was ready; zero: it is not
	ceded        map[*topic.Topic]bool      // hand-over: what only the new life has
	heirs        map[*topic.Topic]time.Time // hand-over: what the new life had confirmed of the old one's when it took over, and since when
	wrote        time.Time                  // when anything was last written, but for what the socket writes itself
	full         bool                       // the upstream did not take all topics, and did not say which
	ending       cause.Cause                // why we ended it, if it was us
	endErr       error                      // the same for people
	listening    bool                       // its topics need no asking, and were confirmed
	denied       bool                       // the upstream ended it because of its credential
	mute         bool                       // a write failed: the socket sees to it that the reader ends within seconds, and knows why
}

// of is the life that a reader reads for; nil: it ended.
func (c *Conn) of(r *reader.Reader) *life {
	for _, l := range []*life{c.life, c.next, c.last, c.left} {
		if l != nil && l.Reader == r {
			return l
		}
	}
	return nil
}

// notePong looks for the answer to a ping of WebSocket's own: the session does not see those. An upstream that has never
// answered one is not held to it while data flows.
func (c *Conn) notePong(l *life, lastRead time.Time) {
	if l.pings.Due.IsZero() || !l.controlPings {
		return
	}
	at := l.Socket.LastPong()
	switch {
	case !at.IsZero() && !at.Before(l.pings.Sent):
		if l.pings.Answered() {
			c.up <- slots.PongNews{Slot: c.slot, RTT: at.Sub(l.pings.Sent)}
		}
	case at.IsZero() && lastRead.After(l.pings.Sent):
		l.pings.Answered()
	}
}
