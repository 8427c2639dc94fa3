package pool

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/cause"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// homeless is a protocol that knows no address.
type homeless struct{ protocol.Protocol }

func (homeless) Endpoint(context.Context) (protocol.Endpoint, error) {
	return protocol.Endpoint{}, errors.New("no address")
}

func TestAfterADialThatFailedThePlaceIsHeldIfTheUpstreamMayCountASocket(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, row := range []struct {
		name   string
		change func(*Options)
		serve  func(*peer) // nil: nothing is ever accepted
		cancel bool        // nothing is wanted any more, while the dial is under way
		cause  cause.Cause
		held   time.Duration
	}{
		{name: "nobody listens", cause: cause.Refused, held: 0},
		{
			name: "the name is not known",
			change: func(o *Options) {
				o.Conn.DialContext = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
				}
			},
			cause: cause.DNS, held: 0,
		},
		{
			name: "the protocol has no address",
			change: func(o *Options) {
				o.Conn.Protocol = homeless{pubsub.New(pubsub.Options{})}
			},
			cause: cause.Reset, held: 0,
		},
		{name: "RST in the handshake", serve: func(p *peer) { p.Reset() }, cause: cause.Reset, held: 0},
		{name: "FIN in the handshake", serve: func(p *peer) { p.Close() }, cause: cause.Reset, held: 0},
		{
			name: "503 from an upstream that closes",
			serve: func(p *peer) {
				p.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
				time.Sleep(200 * time.Millisecond)
				p.Close()
			},
			cause: cause.HTTP5xx, held: 0,
		},
		{
			name: "503 from an upstream that keeps the socket",
			serve: func(p *peer) {
				p.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
				p.awaitEnd()
			},
			cause: cause.HTTP5xx, held: hold,
		},
		{
			name:   "no answer to the SYN",
			change: func(o *Options) { o.Conn.DialContext = hang },
			cause:  cause.Timeout, held: hold,
		},
		{name: "no answer to the handshake", serve: (*peer).awaitEnd, cause: cause.Timeout, held: hold},
		{
			name:   "given up in the SYN",
			change: func(o *Options) { o.Conn.DialContext = hang },
			cancel: true, cause: cause.Drain, held: hold,
		},
		{name: "given up in the handshake", serve: (*peer).awaitEnd, cancel: true, cause: cause.Drain, held: hold},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serve := row.serve
				if serve == nil {
					serve = func(*peer) {}
				}
				s := perform(t, nil, row.change, serve)
				s.net.SetRefuse(row.serve == nil)
				s.pool.Want(topics(1))
				if row.cancel {
					time.Sleep(time.Second)
					s.pool.Want(nil)
				}
				got := s.status()
				for ; got.Slots[0].State == slots.Dialing; got = s.status() {
					if got.Account.Connections != 1 {
						t.Fatalf("%d places are taken while the pool dials", got.Account.Connections)
					}
					time.Sleep(100 * time.Millisecond)
				}
				ended := time.Now()
				s.pool.Want(nil) // no second dial
				for ; got.Account.Connections > 0; got = s.status() {
					time.Sleep(100 * time.Millisecond)
				}
				if held := time.Since(ended); held != row.held {
					t.Errorf("the place was held for %v, want %v", held, row.held)
				}
				if dials := got.Counters.Dials; !row.cancel && dials[string(row.cause)] != 1 || dials["ok"] != 0 {
					t.Errorf("dials: %v, want one that failed by %s", dials, row.cause)
				}
			})
		})
	}
}

func TestConnectionsThatWaitForTheirTurnAreNotCountedAsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{}, topics(500), nil)
		for range 8 {
			time.Sleep(time.Second)
			if got := s.status(); got.Account.Connections != s.up.Open() {
				t.Errorf("the account shows %d connections, %d sockets are open", got.Account.Connections, s.up.Open())
			}
		}
	})
}

func TestATopicThatNeverHadAPlaceIsNamedOnceAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		s := play(t, twitch.PubSubOptions{}, topics(52), oneConnection)
		s.confirmed(50, time.Minute)
		var told []shard.Topic
		for i, wanted := range []int{52, 53} {
			s.pool.Want(topics(wanted))
			for _, missing := range topics(wanted)[50:] {
				if got := s.topic(missing.Topic); got.State != topic.Unplaced || got.Reason != "no slot has room" || got.Since.Before(begin) {
					t.Errorf("%+v", got)
				}
			}
			for _, n := range noticesOf[TopicNotice](s, NoticeTopicState) {
				if n.State != "unplaced" {
					continue
				}
				told = append(told, n.Topic)
				if n.Reason != "no slot has room" || n.Since.Before(begin) {
					t.Errorf("%+v", n)
				}
			}
			if want := []shard.Topic{topics(53)[50].Topic, topics(53)[51].Topic, topics(53)[52].Topic}[:2+i]; !slices.Equal(told, want) {
				t.Errorf("%d are wanted, and told as unplaced are %q", wanted, told)
			}
		}
	})
}
