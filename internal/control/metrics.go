package control

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"feedmux/internal/cause"
	"feedmux/internal/slots"
	"feedmux/internal/topic"
	"feedmux/pool"
)

// collector turns what the loops say into metrics, at the moment when somebody asks. A feed whose loop does not answer,
// or delivery, is left out of that scrape and logged; a figure that several of them feed is shown whole or not at all.
type collector struct {
	o        *Options
	complain rate.Sometimes // scrapes do not set our log rate
	descs    []*prometheus.Desc

	connections, accountConnections       series
	topics, capacity                      series
	dials, disconnects                    series
	events, lastEvent, published, dropped series
	odd, gaps, gapSeconds                 series
	tokenDies, tokenDue                   series
	bufferBytes, bufferOldest, natsUp     series
	unconfirmed                           series
	natsRefused, noticesDropped           series
	reloaded, build                       series
	dialWait, pingRTT                     histogram
}

func newCollector(o *Options) *collector {
	c := &collector{o: o, complain: rate.Sometimes{Interval: time.Minute}}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("feedmux_"+name, help, labels, nil)
		c.descs = append(c.descs, d)
		return d
	}
	gauge := func(d *prometheus.Desc) series { return series{d, prometheus.GaugeValue} }
	counter := func(d *prometheus.Desc) series { return series{d, prometheus.CounterValue} }

	c.connections = gauge(desc("connections",
		"Slots of the feed, by the state of their connection.", "feed", "state"))
	c.accountConnections = gauge(desc("account_connections",
		"Sockets that the upstream may count: open, being opened, or closed without its answer.", "account"))
	c.topics = gauge(desc("topics",
		"Wanted topics, by their state in the ledger.", "feed", "state"))
	c.capacity = gauge(desc("capacity_topics",
		"Topics that all connections of the feed together can take.", "feed"))
	c.dials = counter(desc("dials_total",
		"Attempts to connect, by result: ok, or the cause of the failure.", "feed", "result"))
	c.dialWait = histogram{desc("dial_wait_seconds",
		"Time from wanting to dial until the dial began, over all feeds.")}
	c.disconnects = counter(desc("disconnects_total",
		"Connections that were open and ended, by cause.", "feed", "cause"))
	c.events = counter(desc("events_total",
		"Events received.", "feed"))
	c.lastEvent = gauge(desc("last_event_timestamp_seconds",
		"When the newest event was received, in Unix time; 0 before the first.", "feed"))
	c.published = counter(desc("published_total",
		"Events handed to NATS.", "feed"))
	c.dropped = counter(desc("dropped_total",
		"Messages and events that went nowhere, by reason.", "feed", "reason"))
	c.odd = counter(desc("odd_events_total",
		"Events that contradict themselves or what came before, by kind.", "feed", "kind"))
	c.gaps = counter(desc("gaps_total",
		"Times that a confirmed topic went dark, or that events of one may not have reached NATS, by cause.", "feed", "cause"))
	c.gapSeconds = counter(desc("gap_seconds_total",
		"Time that confirmed topics were dark: the sum of the gaps that have closed.", "feed"))
	c.tokenDies = gauge(desc("token_expiry_timestamp_seconds",
		"When the token that the feed dials with dies, or died, in Unix time; absent where nobody knows.", "feed"))
	c.tokenDue = gauge(desc("token_due_timestamp_seconds",
		"From when on the token should have been replaced, by whoever renews it, in Unix time; absent where nobody knows.", "feed"))
	c.pingRTT = histogram{desc("ping_rtt_seconds",
		"Time from a ping to its answer.", "feed")}
	c.bufferBytes = gauge(desc("buffer_bytes",
		"Size of the events that wait in memory for NATS."))
	c.bufferOldest = gauge(desc("buffer_oldest_seconds",
		"How long the oldest of the events that wait for NATS has waited."))
	c.unconfirmed = gauge(desc("nats_unconfirmed_seconds",
		"How long the oldest of the events that NATS was handed waits to be confirmed; 0 where none does."))
	c.natsUp = gauge(desc("nats_connected",
		"1 while there is a connection to NATS, else 0."))
	c.natsRefused = counter(desc("nats_refused_total",
		"Messages of any feed that the NATS server's permissions forbade: they are lost."))
	c.noticesDropped = counter(desc("notices_dropped_total",
		"Notices that never reached NATS."))
	c.reloaded = gauge(desc("reload_success",
		"1 where the configuration was read well when it was last read, else 0: what counts is older than the file."))
	c.build = gauge(desc("build_info",
		"Always 1; its labels say what is running.", "version", "goversion"))
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	feeds := c.o.Feeds()
	a := c.o.ask(context.Background(), feeds, false)
	if err := a.silent(); err != nil {
		c.complain.Do(func() { c.o.Log.Warn("metrics leave out what did not answer", "error", err) })
	}

	c.build.send(to, 1, c.o.Version, runtime.Version())
	good := true
	if c.o.Reload != nil {
		good, _ = c.o.Reload()
	}
	c.reloaded.send(to, oneIf(good))
	for _, f := range feeds {
		c.tokenDies.sendTime(to, f.TokenDies, f.Name)
		c.tokenDue.sendTime(to, f.TokenDue, f.Name)
	}
	if a.err == nil {
		c.bufferBytes.send(to, float64(a.delivery.BufferBytes))
		c.bufferOldest.send(to, a.delivery.OldestSeconds)
		c.unconfirmed.send(to, a.delivery.Unconfirmed)
		c.natsUp.send(to, oneIf(a.delivery.Connected))
		c.natsRefused.send(to, float64(a.delivery.Refused))
		c.noticesDropped.send(to, float64(a.delivery.NoticesDropped))
	}

	var dialWait pool.Histogram
	whole := true
	accounts := make(map[string]bool) // feeds may share one
	for _, f := range a.feeds {
		if f.err != nil {
			whole = false
			continue
		}
		s := &f.status
		c.collectFeed(to, s)
		if a.err == nil {
			c.published.send(to, float64(a.delivery.Published[s.Feed]), s.Feed)
			sendEach(to, c.dropped, s.Feed, dropped(s, &a.delivery))
			sendEach(to, c.gaps, s.Feed, add(add(zeros(cause.All()...), s.Counters.Gaps), a.delivery.Gaps[s.Feed]))
		}
		if !accounts[s.Account.Name] {
			accounts[s.Account.Name] = true
			c.accountConnections.send(to, float64(s.Account.Connections), s.Account.Name)
		}
		for i, n := range s.Counters.DialWait.Counts {
			dialWait.Counts[i] += n
		}
		dialWait.Sum += s.Counters.DialWait.Sum
	}
	if whole {
		c.dialWait.send(to, dialWait)
	}
}

// collectFeed sends what the feed's pool alone knows.
func (c *collector) collectFeed(to chan<- prometheus.Metric, s *pool.Status) {
	inState := make(map[slots.State]int)
	for _, slot := range s.Slots {
		inState[slot.State]++
	}
	for _, state := range slots.States() {
		c.connections.send(to, float64(inState[state]), s.Feed, state.String())
	}
	for _, state := range topic.States() {
		c.topics.send(to, float64(s.Topics.In(state)), s.Feed, state.String())
	}
	c.capacity.send(to, float64(s.Capacity), s.Feed)

	n := &s.Counters
	sendEach(to, c.dials, s.Feed, add(zeros(append(cause.All(), "ok")...), n.Dials))
	sendEach(to, c.disconnects, s.Feed, add(zeros(cause.All()...), n.Disconnects))
	c.events.send(to, float64(n.Events), s.Feed)
	var last float64
	if !n.LastEvent.IsZero() {
		last = float64(n.LastEvent.UnixMilli()) / 1e3
	}
	c.lastEvent.send(to, last, s.Feed)
	sendEach(to, c.odd, s.Feed, n.Odd)
	c.gapSeconds.send(to, time.Duration(n.GapTime).Seconds(), s.Feed)
	c.pingRTT.send(to, n.PingRTT, s.Feed)
}

// series is one metric that has a plain number for each set of label values.
type series struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func (s series) send(to chan<- prometheus.Metric, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(s.desc, s.kind, value, labels...)
}

// sendTime sends a time that may not be known: by nobody, where at is nil, or not yet, where it is zero.
func (s series) sendTime(to chan<- prometheus.Metric, at func() time.Time, labels ...string) {
	if at == nil {
		return
	}
	if t := at(); !t.IsZero() {
		s.send(to, float64(t.Unix()), labels...)
	}
}

// histogram is one metric that counts durations.
type histogram struct{ desc *prometheus.Desc }

func (h histogram) send(to chan<- prometheus.Metric, counted pool.Histogram, labels ...string) {
	upTo := make(map[float64]uint64, len(pool.HistogramBounds))
	var n uint64
	for i, bound := range pool.HistogramBounds {
		n += counted.Counts[i]
		upTo[bound] = n
	}
	n += counted.Counts[len(pool.HistogramBounds)]
	to <- prometheus.MustNewConstHistogram(h.desc, n, time.Duration(counted.Sum).Seconds(), upTo, labels...)
}

func sendEach(to chan<- prometheus.Metric, s series, feed string, counts map[string]uint64) {
	for key, n := range counts {
		s.send(to, float64(n), feed, key)
	}
}

// zeros are counters at 0. A rate misses the step from absent to the first value, so what is counted by a list that is
// known begins there.
func zeros[K ~string](keys ...K) map[string]uint64 {
	counts := make(map[string]uint64, len(keys))
	for _, key := range keys {
		counts[string(key)] = 0
	}
	return counts
}

// add adds counters by key to total, and returns it.
func add[K ~string](total map[string]uint64, counts map[K]uint64) map[string]uint64 {
	for key, n := range counts {
		total[string(key)] += n
	}
	return total
}

// dropped is what of a feed went nowhere, by reason: what its readers skipped, and what delivery dropped.
func dropped(s *pool.Status, d *Delivery) map[string]uint64 {
	return add(add(zeros(pool.SkipReasons()...), s.Counters.Skipped), d.Dropped[s.Feed])
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
