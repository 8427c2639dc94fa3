package dialects

import (
	"fmt"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/protocol"
	"feedmux/shard"
)

// checkTopics reports the topics that the protocol would refuse.
func checkTopics(p protocol.Protocol, f *config.Feed, report config.Report) {
	for i, t := range f.Topics {
		if err := p.Check(protocol.Topic{Name: shard.Topic(t.Name)}); err != nil {
			report(fmt.Sprintf("topics[%d]", i), "%v", err)
		}
	}
}

// checkPace looks for a subscribe rate that pings alone would use up: they count in it, and go first.
func checkPace(f *config.Feed, report config.Report) {
	rate, every := f.Limits.SubscribeRate, f.Ping.Interval
	if time.Duration(rate.N)*every < 2*rate.Per {
		report("limits.subscribe_rate", "%s leaves no room beside a ping each %s: at least two messages in that time are needed",
			rate, every)
	}
}
