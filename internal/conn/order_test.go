package conn

import (
	"testing"
	"time"

	"feedmux/internal/asks"
	"feedmux/internal/cause"
	"feedmux/internal/conn/life"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/slots"
	"feedmux/limiter"
)

// Between fail and the reader's last word a slot may lose its topics.
func TestAnOrderDoesNotChangeWhyALifeEnds(t *testing.T) {
	o := Options{
		Feed: "f", Connections: 1, Protocol: pubsub.New(pubsub.Options{}),
	}
	news := make(chan slots.News, 1)
	c := New(&o, func() *Settings { return &o.Settings }, 0, news, time.Now())
	c.state, c.life = slots.Live, &life.Life{Asks: asks.New(1, limiter.Window{N: 1, Per: time.Second}, &asks.Culprits{})}
	c.life.Ending = cause.PingTimeout
	c.onOrder(t.Context(), slots.Order{})
	if c.life.Ending != cause.PingTimeout || c.state != slots.Live || len(news) != 0 {
		t.Errorf("cause %s, state %s, %d news", c.life.Ending, c.state, len(news))
	}
}
