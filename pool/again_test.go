package pool

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"feedmux/internal/conn"
	"feedmux/internal/credential"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/upstream"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/limiter"
)

// The second connection is behind the first when it takes over, and is to be handed over at once.
func TestAHandOverSoonAfterAnotherRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flowing(t, twitch.PubSubOptions{}, func(o *Options) {
			o.Conn.Share = share(3, limiter.Window{N: 1, Per: time.Second}, 1)
		})
		s.up.SetLag(3, 1200*time.Millisecond)
		s.up.Reconnect(s.conn(0))
		for s.status().Slots[0].Life == 1 {
			time.Sleep(100 * time.Millisecond)
		}
		s.pool.Renew()
		time.Sleep(2500 * time.Millisecond)
		s.up.SetLag(3, 0) // what an old connection has not brought when it is closed is lost
		time.Sleep(25 * time.Second)
		s.up.Change(func(o *twitch.PubSubOptions) { o.Rate = 0 })
		time.Sleep(5 * time.Second)
		if got := s.status(); got.Slots[0].Life != 3 {
			t.Errorf("life %d", got.Slots[0].Life)
		}
		s.wantEveryEvent()
	})
}

// The upstream was asked with the old credential, and answers once it has changed.
func TestARefusalOfTheOldCredentialDoesNotStandAgainstTheNewOne(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 190 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			var secret atomic.Value
			secret.Store("old")
			s := play(t, twitch.PubSubOptions{Token: "new", ResponseDelay: 200 * time.Millisecond}, topics(1), func(o *Options) {
				oneConnection(o)
				o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", Token: func(context.Context) (string, error) {
					token := secret.Load().(string)
					time.Sleep(100 * time.Millisecond)
					return token, nil
				}})
				o.Conn.Credential = new(credential.Credential)
			})
			s.confirmed(1, time.Second)
			s.pool.Want(append(topics(1), named("whispers", 1, 0)...))
			time.Sleep(after)
			secret.Store("new")
			s.pool.CredentialChanged()
			s.confirmed(2, 10*time.Second)
		})
	}
}

func TestNothingIsDialledForTopicsThatWentWhileTheOldConnectionClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, twitch.PubSubOptions{Options: upstream.Options{CloseDelay: 1500 * time.Millisecond}}, topics(2), oneConnection)
		s.confirmed(2, 5*time.Second)
		s.pool.Renew()
		time.Sleep(500 * time.Millisecond)
		s.pool.Want(nil)
		time.Sleep(10 * time.Second)
		if n := len(s.net.Dials()); n != 1 {
			t.Errorf("%d dials", n)
		}
		if got := s.status(); got.Account.Connections != 0 {
			t.Errorf("%d places are taken", got.Account.Connections)
		}
		s.pool.Want(topics(2))
		s.confirmed(2, 5*time.Second)
	})
}

func TestOfTwoChangesOfACredentialTheNewestStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token atomic.Value
		token.Store("old")
		s := play(t, twitch.PubSubOptions{Token: "new"}, topics(1), func(o *Options) {
			oneConnection(o)
			o.Conn.Protocol = pubsub.New(pubsub.Options{URL: "ws://upstream.test", Token: func(context.Context) (string, error) {
				got := token.Load().(string)
				if got == "slow" {
					time.Sleep(3 * time.Second)
				}
				return got, nil
			}})
			o.Conn.Credential = new(credential.Credential)
		})
		s.confirmed(1, time.Second)
		for _, next := range []string{"slow", "new"} {
			token.Store(next)
			s.pool.CredentialChanged()
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		s.pool.Want(append(topics(1), named("whispers", 1, 0)...))
		s.confirmed(2, 10*time.Second)
	})
}

// It changes while the handshake is under way: the connection was opened with the old one.
func TestAConnectionThatOpensWhileTheCredentialChangesAsksWithTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token secret
		token.Store("old")
		o := twitch.PubSubOptions{Token: "new", Options: upstream.Options{HandshakeDelay: time.Second}}
		s := play(t, o, named("whispers", 5, 0), token.with)
		time.Sleep(500 * time.Millisecond)
		token.Store("new")
		s.pool.CredentialChanged()
		s.confirmed(5, 10*time.Second)
	})
}

func TestARefusalThatIsOnItsWayWhenTheCredentialChangesDoesNotStand(t *testing.T) {
	for before, want := range map[int]topic.State{0: topic.Assigned, 1: topic.Refused} {
		o := testOptions(t, &memory{}, nil)
		oneConnection(&o)
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		p.conns = append(p.conns, conn.New(&p.opts.Conn, p.connSettings, 0, p.news, now))
		p.onWant(topics(1), now)
		p.onCredential(now)
		r := p.ledger.Records()[0]
		p.onNews(slots.TopicNews{
			Credential: before, News: topic.News{Topics: []*topic.Topic{r.Topic}, State: topic.Refused, At: now},
		}, now)
		if r.State != want {
			t.Errorf("refused after %d changes of 1: it is %v, want %v", before, r.State, want)
		}
	}
}

// The upstream said no to the ask, but sends the topic: it had heard an earlier one.
func TestAnEventAfterAFailureConfirmsTheTopicAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := topics(1)[0].Topic
		s := perform(t, topics(1), nil, func(p *peer) {
			p.open()
			r, _ := p.next()
			p.event(name)
			time.Sleep(100 * time.Millisecond)
			p.answer(r, "ERR_SERVER")
			time.Sleep(time.Second)
			p.event(name)
			p.obey()
		})
		time.Sleep(500 * time.Millisecond)
		if got := s.topic(name); got.State != topic.Assigned {
			t.Errorf("after the failure: %+v", got)
		}
		time.Sleep(time.Second)
		if got := s.topic(name); got.State != topic.Confirmed || got.By != topic.ByEvent {
			t.Errorf("after the second event: %+v", got)
		}
	})
}

func TestWhatANewConnectionHoldsBackIsKeptIfBothAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := topics(2)
		s := perform(t, list, func(o *Options) {
			connections(o, 3)
			o.Conn.Connections = 1
			o.Conn.Backoff.Base, o.Conn.PingInterval = time.Millisecond, time.Hour
		}, func(p *peer) {
			p.open()
			switch p.life {
			case 1:
				p.accept()
				p.say(`{"type":"RECONNECT"}`)
				time.Sleep(45200 * time.Millisecond)
				p.event(list[1].Topic)
				p.Reset()
			case 2:
				r, _ := p.next()
				p.answer(r, "ERR_SERVER")
				p.event(list[0].Topic) // the other one never brings it
				for {
					r, ok := p.next()
					if !ok { // it was too long in getting ready
						time.Sleep(1900 * time.Millisecond)
						return
					}
					word := ""
					if r.Type == "LISTEN" {
						word = "ERR_SERVER"
					}
					p.answer(r, word)
				}
			default:
				p.obey()
			}
		})
		time.Sleep(46 * time.Second)
		if got := s.status(); got.Topics.Confirmed != 2 {
			t.Fatalf("%+v, %+v", got.Topics, got.Slots[0])
		}
		time.Sleep(3 * time.Second)
		events, _ := s.sink.take()
		if len(events) != 2 || events[1].subject != "feed.f."+string(list[0].Topic) {
			t.Errorf("%+v", events)
		}
	})
}
