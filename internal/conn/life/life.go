package life

import (
	"cmp"
	"math/rand/v2"
	"time"

	"feedmux/internal/account"
	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/reader"
	"feedmux/internal/topic"
	"feedmux/limiter"
)

// Options are what a Life is made of. All are required.
type Options struct {
	Settings *Settings
	Limits   protocol.Limits
	Seat     *account.Seat
	Pacer    limiter.Pacer // of the slot, with the interval and jitter of Settings
	Rand     *rand.Rand    // its owner's, too
	Blame    *asks.Culprits
}

// Life is one socket in a slot. All but the Reader is owned by the slot's Conn.
type Life struct {
	*reader.Reader
	Settings *Settings
	Seat     *account.Seat
	Asks     *asks.Asks
	Opened   time.Time   // when the handshake was answered
	Wrote    time.Time   // when anything was last written, but for what the socket writes itself
	RetireAt time.Time   // when it is to be handed over because of its age; zero: never
	Ending   cause.Cause // why we ended it, if it was us
	EndErr   error       // the same for people
	Mute     bool        // a write failed: the socket sees to it that the reader ends within seconds, and knows why

	limits       protocol.Limits
	silence      time.Duration // it ends when nothing came for so long; 0: never
	pacer        limiter.Pacer
	rand         *rand.Rand
	pings        asks.Pings
	controlPings bool // its pings are WebSocket's own

	// What the Conn notes of it.
	Changes   int         // of the credential that it was dialled with
	Renewals  int         // slots.Order.Renewals when it was dialled
	LiveSince time.Time   // zero before the first application frame
	Move      cause.Cause // why it must be handed over, if the upstream said so
	MoveBy    time.Time   // and when the upstream ends it; zero: nobody knows
	Full      bool        // the upstream did not take all topics, and did not say which
	Listening bool        // its topics need no asking, and were confirmed
	Denied    bool        // the upstream ended it because of its credential

	// … and of a hand-over.
	GiveUpAt time.Time                  // when the new life should have been ready
	ReadyAt  time.Time                  // when the new life was ready; zero: it is not
	Ceded    map[*topic.Topic]bool      // what only the new life has
	Heirs    map[*topic.Topic]time.Time // what the new life had confirmed of the old one's when it took over, and since when
}

// New makes the Life of a socket that was opened just now. Its reader is yet to be started.
func New(r *reader.Reader, o Options) *Life {
	now, s := time.Now(), o.Settings
	l := &Life{
		Reader:   r,
		Settings: s,
		Seat:     o.Seat,
		Asks:     asks.New(s.SubscribeBatch, s.SubscribeRate, o.Blame),
		Opened:   now,
		limits:   o.Limits,
		silence:  cmp.Or(s.Silence, o.Limits.Silence),
		pacer:    o.Pacer,
		rand:     o.Rand,
		pings:    asks.Pings{Next: o.Pacer.Next(now, o.Rand)},
	}
	if age := s.MaxAge; age > 0 {
		l.RetireAt = now.Add(age - age/10 + time.Duration(o.Rand.Int64N(int64(age/5)+1)))
	}
	l.Asks.Answers = o.Limits.Answers
	return l
}

// Leave begins the end of a life in the upstream's good manner. What still comes is read and published.
func (l *Life) Leave(why cause.Cause, code int) {
	l.Ending = why
	l.Socket.Leave(code, "")
}

// Fail ends a life at once: nothing good comes from it any more.
func (l *Life) Fail(why cause.Cause, err error) {
	if l.Ending == "" {
		l.Ending, l.EndErr = why, err
	}
	l.Socket.Abort()
}
