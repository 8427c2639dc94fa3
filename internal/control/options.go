package control

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"feedmux/pool"
	"feedmux/shard"
)

// Options say what is shown. Everything without a note is required.
type Options struct {
	Feeds    func() []Feed                           // those that there are: they may come and go
	Delivery func(context.Context) (Delivery, error) // fails when the publisher's loop does not turn within ctx

	Ready   func() float64 // share of a feed's placeable topics, 0 to 1, that must be confirmed for it to be ready
	Version string
	Started time.Time
	Log     *slog.Logger

	// Notes are what waits for somebody to do something, in sentences. nil: nothing ever does.
	Notes func() []string
	// Reload says whether the configuration was read well when it was last read, and when that was. nil: it was read
	// once, at the start.
	Reload func() (good bool, at time.Time)

	// Hosts are the names and addresses that requests may be made to, beside the loopback ones. An address that stands
	// for every interface ("", 0.0.0.0, ::) lets in requests to any IP address and to the machine's own name; others must
	// be listed.
	Hosts []string
	// Page answers browsers at "/", and everybody below "/page/". nil: "/" is the words that others get.
	Page http.Handler
	// Pprof adds Go's profiles under /debug/pprof/.
	Pprof bool
}

// Feed is one feed as configured, and how to ask what its pool knows.
type Feed struct {
	Name string
	// Status fails when the pool's loop does not turn within ctx. What it returns is the caller's to keep.
	Status func(ctx context.Context, ledger bool) (pool.Status, error)
	// Topic asks for the line of one topic; wanted says whether there is one. It fails as Status does.
	Topic func(ctx context.Context, name shard.Topic) (line pool.TopicStatus, wanted bool, err error)
	// TokenDies is when the token dies, or died, that the feed dials with. nil: nobody knows.
	TokenDies func() time.Time
	// TokenDue is from when on another token should have taken its place, by whoever renews it. nil: nobody knows.
	TokenDue func() time.Time
}

// Delivery is what became of the events after they left the feeds. Its counters only grow.
type Delivery struct {
	Connected      bool                         `json:"connected"`
	Server         string                       `json:"server,omitempty"`  // holds no credentials
	Trouble        string                       `json:"trouble,omitempty"` // why it is not connected, as far as anybody said
	Reconnects     uint64                       `json:"reconnects"`
	Refused        uint64                       `json:"refused"`             // messages that the server's permissions forbade
	RefusedAt      time.Time                    `json:"refused_at,omitzero"` // the last of them
	BufferBytes    int64                        `json:"buffer_bytes"`
	BufferLimit    int64                        `json:"buffer_limit_bytes"`
	OldestSeconds  float64                      `json:"oldest_s"`      // how long the oldest event in the buffer has waited
	Unconfirmed    float64                      `json:"unconfirmed_s"` // how long the oldest event that NATS was handed waits to be confirmed
	Published      map[string]uint64            `json:"published"`     // by feed: events handed to NATS
	Dropped        map[string]map[string]uint64 `json:"dropped"`       // by feed and reason
	DroppedAt      map[string]time.Time         `json:"dropped_at"`    // by feed: the last of them, to 10 s
	Gaps           map[string]map[string]uint64 `json:"gaps"`          // by feed and cause: of topics, at delivery
	NoticesWaiting int                          `json:"notices_waiting"`
	NoticesDropped uint64                       `json:"notices_dropped"`
}
