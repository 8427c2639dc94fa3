package resume

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "feedmux/internal/bubble"
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// said is an event as the fake upstream has it. At 0 it keeps it not.
type said struct {
	ID, Room string
	At       int
	Bare     bool // the ID is only in its payload
}

func (e said) event() protocol.Event {
	out := protocol.Event{Topic: []byte(e.Room), Wider: [][]byte{[]byte("*")}, Payload: []byte(e.ID)}
	if e.ID != "" && !e.Bare {
		out.ID = []byte(e.ID)
	}
	if e.At != 0 {
		out.Position = pos(e.At)
		out.Sent = time.Unix(int64(e.At), 0)
	}
	return out
}

func pos(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

func number(p []byte) int {
	n, err := strconv.Atoi(string(p))
	if err != nil {
		panic(err)
	}
	return n
}

// reply is a page as the fake upstream sends it.
type reply struct {
	Events []said
	Next   int
	More   bool
	Missed int
}

// upstream is a Resumer and its HTTP side, in memory.
type upstream struct {
	protocol.Protocol // nothing of it is used but Endpoint
	limit             int
	needsLife         bool

	mu       sync.Mutex
	events   []said // in order of At
	news     chan struct{}
	fault    func(after int, wait time.Duration) *http.Response // nil: none; its nil: none this time
	dead     bool                                               // the credential
	token    string
	requests []request
}

type request struct {
	at    time.Time
	wait  time.Duration
	most  int
	token string
}

func newUpstream() *upstream { return &upstream{limit: 5, news: make(chan struct{}), token: secret} }

const secret = "sesame"

func (u *upstream) Endpoint(context.Context) (protocol.Endpoint, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return protocol.Endpoint{URL: "wss://up.test/?token=" + u.token, Token: u.token}, nil
}

func (u *upstream) Request(e protocol.Endpoint, after []byte, most int, wait time.Duration) (*http.Request, error) {
	return http.NewRequest("GET", fmt.Sprintf("https://up.test/sync?token=%s&after=%s&most=%d&wait=%d", e.Token, after, most, wait), nil)
}

func (u *upstream) Page(body []byte, p *protocol.Page) error {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	for _, e := range r.Events {
		p.Events = append(p.Events, e.event())
	}
	p.Next, p.More, p.Skipped, p.Missed = pos(r.Next), r.More, r.Missed, r.Missed
	return nil
}

func (u *upstream) NeedsLife() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.needsLife
}

func (u *upstream) Denied(status int, _ []byte) bool { return status == 401 }
func (u *upstream) IsPosition(p []byte) bool         { _, err := strconv.Atoi(string(p)); return err == nil }
func (u *upstream) Compare(a, b []byte) int          { return number(a) - number(b) }
func (u *upstream) Before(p []byte) []byte           { return pos(number(p) - 1) }

// say publishes events.
func (u *upstream) say(events ...said) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, events...)
	slices.SortStableFunc(u.events, func(a, b said) int { return a.At - b.At })
	close(u.news)
	u.news = make(chan struct{})
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body))}
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	after, _ := strconv.Atoi(q.Get("after"))
	wait, _ := strconv.ParseInt(q.Get("wait"), 10, 64)
	most, _ := strconv.Atoi(q.Get("most"))
	u.mu.Lock()
	u.requests = append(u.requests, request{time.Now(), time.Duration(wait), most, q.Get("token")})
	fault := u.fault
	dead := u.dead
	u.mu.Unlock()
	if dead {
		return answer(401, ""), nil
	}
	if fault != nil {
		if resp := fault(after, time.Duration(wait)); resp != nil {
			if b, ok := resp.Body.(*slow); ok {
				b.ctx = r.Context()
			}
			return resp, nil
		}
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	page, news := u.page(after, most)
	timer := time.NewTimer(time.Duration(wait))
	defer timer.Stop()
	for len(page.Events) == 0 && wait > 0 {
		select {
		case <-news:
			page, news = u.page(after, most)
		case <-timer.C:
			wait = 0
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	body, _ := json.Marshal(page)
	return answer(200, string(body)), nil
}

func (u *upstream) page(after, most int) (reply, chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := reply{Next: after}
	for _, e := range u.events {
		if e.At <= after {
			continue
		}
		if len(r.Events) == min(u.limit, most) {
			r.More = true
			break
		}
		r.Events = append(r.Events, e)
		r.Next = e.At
	}
	return r, u.news
}

// asks is how many requests came so far.
func (u *upstream) asks() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

func (u *upstream) request(i int) request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests[i]
}

// store is a Store that a crash leaves as it is.
type store struct {
	mu     sync.Mutex
	at     []byte
	saves  int
	err    error
	broken error // Load's
	check  func(position []byte)
}

func (s *store) Load() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	if s.at == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(s.at), nil
}

func (s *store) Save(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.check != nil {
		s.check(p)
	}
	s.at = slices.Clone(p)
	s.saves++
	return nil
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) position() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.at)
}

// taken is an event as the Taker had it.
type taken struct {
	id, subject string
	life        int
	seq         uint64
}

// taker is a Taker whose NATS is a list.
type taker struct {
	mu   sync.Mutex
	room int // that it has for events which are not done with; negative: any number
	done []taken
	wait []taken
	lost bool
	says int // times that it had no room
}

func (t *taker) Take(e *topic.Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost || t.room >= 0 && len(t.wait) >= t.room {
		t.says++
		return false
	}
	t.wait = append(t.wait, taken{string(e.Payload), e.Topic.Subject, e.Life, e.Seq})
	return true
}

func (t *taker) Progress() (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint64(len(t.done)), t.lost
}

func (t *taker) Restart() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wait, t.lost = nil, false
	return uint64(len(t.done))
}

// confirm is done with the next n events, or all there are.
func (t *taker) confirm(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.lost {
		n = min(n, len(t.wait))
		t.done, t.wait = append(t.done, t.wait[:n]...), t.wait[n:]
	}
}

func (t *taker) setRoom(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = n
}

// lose breaks the connection to NATS. It says whether something was under way.
func (t *taker) lose() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = true
	return len(t.wait) > 0
}

// ids are those of all events that it has, done with or not.
func (t *taker) ids() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for _, e := range slices.Concat(t.done, t.wait) {
		all = append(all, e.id)
	}
	return fmt.Sprint(all)
}

// counts is a Tally.
type counts struct {
	mu      sync.Mutex
	events  int
	skipped map[string]int
}

func (c *counts) Add(n int, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events += n
}

func (c *counts) Skip(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skipped == nil {
		c.skipped = make(map[string]int)
	}
	c.skipped[reason]++
}

func (c *counts) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skipped[reason]
}

// journal is what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// rig is a Stream with all around it.
type rig struct {
	*Stream
	up    *upstream
	taker *taker
	store *store
	tally *counts
	log   journal
	life  int
	tune  func() // the Stream, before Run
	stop  func() // ends Run and waits for it
}

// newRig makes a rig whose Stream begins at the position start, or now if that is "", and wants every topic. Run goes on until
// stop.
func newRig(start string) *rig {
	r := bareRig()
	r.begin(start)
	return r
}

func bareRig() *rig { return &rig{up: newUpstream(), store: new(store), tally: new(counts)} }

func (r *rig) options(start string) Options {
	o := Options{
		Feed: "f", Protocol: r.up, Taker: r.taker, Client: &http.Client{Transport: r.up}, Positions: r.store,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Tally: r.tally,
		Branch: func(t *topic.Topic, values [][]byte) (*topic.Topic, error) {
			if string(values[0]) == "bad" {
				return nil, fmt.Errorf("no subject")
			}
			return t.Form(nil, t.Subject+"."+string(values[0])), nil
		},
	}
	if start != "" {
		o.Start = []byte(start)
	}
	return o
}

// begin makes the Stream, as a new process would.
func (r *rig) begin(start string) {
	r.taker = &taker{room: -1}
	r.Stream = New(r.options(start))
	r.Want(wanted("*"))
	if r.tune != nil {
		r.tune()
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); r.Run(ctx) }()
	r.stop = func() { cancel(); <-over }
}

func wanted(names ...shard.Topic) (topics []*topic.Topic) {
	for _, n := range names {
		topics = append(topics, &topic.Topic{Name: n, Subject: "feed." + string(n)})
	}
	return topics
}

// open begins a life, which is live.
func (r *rig) open() {
	r.life++
	r.Opened(r.life, 0, secret)
	r.Live()
	synctest.Wait()
}

// hear publishes events that the life brings too.
func (r *rig) hear(events ...said) {
	var kept []said
	for _, e := range events {
		if e.At != 0 {
			kept = append(kept, e)
		}
	}
	r.up.say(kept...)
	r.tell(events...)
}

// tell lets the life bring events.
func (r *rig) tell(events ...said) {
	var all []protocol.Event
	for _, e := range events {
		all = append(all, e.event())
	}
	r.Heard(all, time.Now())
}

func (r *rig) wantIDs(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := r.taker.ids(); got != want {
		t.Fatalf("taken %s, want %s\n%s", got, want, r.log.String())
	}
}

// ev makes an event at a position, whose id says so.
func ev(at int) said { return said{ID: fmt.Sprint("e", at), Room: "r", At: at} }

func evs(at ...int) (all []said) {
	for _, n := range at {
		all = append(all, ev(n))
	}
	return all
}
