package conn

import (
	"testing"
	"time"

	"feedmux/limiter"
)

// Between fail and the reader's last word a slot may lose its topics.
func TestAnOrderDoesNotChangeWhyALifeEnds(t *testing.T) {
	o := Options{
		Feed: "f", Connections: 1, SubscribeBatch: 1, SubscribeRate: limiter.Window{N: 1, Per: time.Second},
		PingInterval: time.Minute,
	}
	news := make(chan News, 1)
	c := New(&o, 0, news, time.Now())
	c.state, c.life, c.ending = Live, lifeOf(0, &counting{}), CausePingTimeout
	c.onOrder(t.Context(), nil)
	if c.ending != CausePingTimeout || c.state != Live || len(news) != 0 {
		t.Errorf("cause %s, state %s, %d news", c.ending, c.state, len(news))
	}
}
