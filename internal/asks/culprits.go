package asks

import (
	"time"

	"feedmux/internal/topic"
)

// soonAfter is how soon after an ask a life must end for the ask to be suspected.
const soonAfter = 5 * time.Second

// Culprits looks for the topics that make the upstream end each connection that asks for them. It outlives lives.
//
// When two lives in a row ended soon after an ask, the topics whose answers were awaited are suspects. Suspects are asked
// for after all others, one message at a time, and each further life that ends of a message halves what a message with its
// topics may hold. Those that may still share a message with most others come first, so the innocent are cleared by their
// answers before the next end, and each end is a step: a culprit among n topics is alone after about log₂ n of them.
type Culprits struct {
	strikes int                  // lives in a row that ended soon after an ask
	most    map[*topic.Topic]int // the suspects, by Topic.Self: how many topics a message with one of them may hold
}

// lifeEnded takes the topics that were asked for shortly before a life ended, not by us, at most batch of them in a
// message. It returns the one that is to blame: a suspect that was alone. heard says that the upstream speaks to us at
// all: else it may be the upstream that is ill, and no topic.
func (c *Culprits) lifeEnded(pending []*topic.Topic, batch int, heard bool) (guilty *topic.Topic) {
	if len(pending) == 0 {
		c.strikes = 0
		return nil
	}
	if c.strikes++; c.strikes < 2 {
		return nil
	}
	if len(pending) == 1 && c.mostWith(pending[0]) == 1 && heard {
		c.clear(pending[0])
		return pending[0]
	}
	if c.most == nil {
		c.most = make(map[*topic.Topic]int, len(pending))
	}
	for _, t := range pending {
		c.most[t.Self()] = (min(len(pending), batch) + 1) / 2
	}
	return nil
}

// clear says that a topic is no suspect: the upstream answered for it, or nobody wants it any more.
func (c *Culprits) clear(t *topic.Topic) {
	if c.mostWith(t) == 0 {
		return
	}
	if delete(c.most, t.Self()); len(c.most) == 0 {
		*c = Culprits{}
	}
}

// mostWith is how many topics a message with t may hold; 0: t is no suspect.
func (c *Culprits) mostWith(t *topic.Topic) int { return c.most[t.Self()] }
