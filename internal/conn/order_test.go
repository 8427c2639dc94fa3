package conn

import (
	"testing"
	"time"

	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/slots"
	"feedmux/limiter"
)

// Between fail and the reader's last word a slot may lose its topics.
func TestAnOrderDoesNotChangeWhyALifeEnds(t *testing.T) {
	o := Options{
		Feed: "f", Connections: 1, SubscribeBatch: 1, SubscribeRate: limiter.Window{N: 1, Per: time.Second},
		PingInterval: time.Minute, Protocol: pubsub.New(pubsub.Options{}),
	}
	news := make(chan slots.News, 1)
	c := New(&o, 0, news, time.Now())
	c.state, c.life = slots.Live, &life{asks: asks.New(1, o.SubscribeRate, &asks.Culprits{})}
	c.life.ending = cause.PingTimeout
	c.onOrder(t.Context(), slots.Order{})
	if c.life.ending != cause.PingTimeout || c.state != slots.Live || len(news) != 0 {
		t.Errorf("cause %s, state %s, %d news", c.life.ending, c.state, len(news))
	}
}
