package control

import "feedmux/pool"

// Readiness says how much of what is wanted is really listened to. "Connected" is not ready.
type Readiness struct {
	Ready  bool            `json:"ready"`  // every feed is
	Share  float64         `json:"share"`  // of the feed that is furthest behind
	Needed float64         `json:"needed"` // the share that each feed must reach
	Feeds  []FeedReadiness `json:"feeds"`
}

// FeedReadiness is the Readiness of one feed.
type FeedReadiness struct {
	Feed      string  `json:"feed"`
	Ready     bool    `json:"ready"`
	Share     float64 `json:"share"` // confirmed / placeable
	Confirmed int     `json:"confirmed"`
	Placeable int     `json:"placeable"`
	Wanted    int     `json:"wanted"`
	Error     string  `json:"error,omitempty"` // why its figures are missing
}

func readiness(feeds []feedAnswer, needed float64) Readiness {
	r := Readiness{Ready: true, Share: 1, Needed: needed, Feeds: make([]FeedReadiness, 0, len(feeds))}
	for _, f := range feeds {
		one := feedReadiness(f, needed)
		r.Ready = r.Ready && one.Ready
		r.Share = min(r.Share, one.Share)
		r.Feeds = append(r.Feeds, one)
	}
	return r
}

func feedReadiness(f feedAnswer, needed float64) FeedReadiness {
	if f.err != nil {
		return FeedReadiness{Feed: f.name, Error: f.err.Error()}
	}
	t := f.status.Topics
	r := FeedReadiness{Feed: f.name, Share: share(t), Confirmed: t.Confirmed, Placeable: t.Placeable(), Wanted: t.Wanted}
	// Where topics are wanted, one at least must be confirmed, however little is needed: a feed that hears nothing is
	// not ready.
	r.Ready = t.Wanted == 0 || t.Confirmed > 0 && r.Share >= needed
	return r
}

// share is the share of placeable topics that are confirmed. It is 0, not 1, where topics are wanted and none has a
// place or all were refused: there is something to confirm, and nothing is.
func share(t pool.TopicCounts) float64 {
	if t.Wanted > 0 && t.Confirmed == 0 {
		return 0
	}
	return t.Ready()
}
