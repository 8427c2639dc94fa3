package conn

import (
	"context"
	"errors"
	"net"

	"feedmux/internal/account"
	"feedmux/internal/conn/life"
	"feedmux/internal/credential"
	"feedmux/internal/protocol"
	"feedmux/internal/resume"
	"feedmux/internal/tally"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Settings are what a life is dialled with, and keeps.
type Settings = life.Settings

// Options are what the connections of one feed have in common. Everything without a note is required.
type Options struct {
	Feed      string
	Protocol  protocol.Protocol
	Share     *account.Share
	Publisher topic.Publisher

	Connections int // slots of the feed: from 1 to the share's connections
	Settings        // those to begin with

	// Asides are what events may name though nobody wants it, as a protocol.Narrator says; nil: there are none.
	Asides map[shard.Topic]*topic.Topic
	// Branch gives the form of a topic for the values that an event brings; nil: no event of this protocol has values.
	Branch topic.Branch

	// Stream is where all events go, of an upstream that keeps what it sent, and nobody else's; nil: it keeps nothing. Such a
	// feed has one connection, and the upstream lets no other overlap with it.
	Stream *resume.Stream
	// Tally counts what the Stream does; nil: there is none.
	Tally *tally.Counter

	// Credential is what the feed dials with; nil: nothing that could be refused and then change.
	Credential *credential.Credential

	// Seed makes every random choice repeatable.
	Seed uint64
	// DialContext is the network; nil: the real one.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Check says what is missing or out of its range.
func (o *Options) Check() error {
	switch {
	case o.Protocol == nil || o.Share == nil || o.Publisher == nil:
		return errors.New("a protocol, a share of an account and a publisher are needed")
	case o.Connections < 1 || o.Connections > o.Share.Limit():
		return errors.New("connections must be from 1 to the share's")
	case o.Stream != nil && (o.Connections != 1 || o.Protocol.Limits().Overlap != protocol.Never || o.Credential == nil):
		return errors.New("a feed with a stream has one connection at a time, and a credential")
	}
	return o.Settings.Check()
}
