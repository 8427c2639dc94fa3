package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"feedmux/internal/additions"
	"feedmux/internal/config"
	"feedmux/internal/control"
	"feedmux/internal/control/local"
	"feedmux/internal/daemon/accounts"
	"feedmux/internal/daemon/answer"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/daemon/gate"
	"feedmux/internal/daemon/shelf"
	"feedmux/internal/embedded"
	"feedmux/internal/history"
	"feedmux/internal/natslogin"
	"feedmux/internal/sink"
	"feedmux/internal/state"
	"feedmux/pool"
)

// turnWithin is how long a loop may take to answer before it counts as stuck.
const turnWithin = 2 * time.Second

// Options say what a Daemon is made of. Everything without a note is required.
type Options struct {
	Config     *config.Config // as it was loaded
	Dir        string         // the state directory; made if it does not exist
	RuntimeDir string         // of the control socket; made if it does not exist. "": Dir
	Log        *slog.Logger
	Version    string

	// Dialects are the protocols that feeds name.
	Dialects map[string]dialect.Dialect

	// Path is the absolute name of the configuration, for people; "": it has none.
	Path string
	// LoadOptions are what Config was checked against. Load reads it again, for a reload; nil: there is no other.
	LoadOptions config.LoadOptions
	Load        func() (*config.Config, error)
	// Level is the log's, which a reload may change; nil: it stays.
	Level *slog.LevelVar
}

// Daemon is everything that runs for one configuration.
type Daemon struct {
	Options
	started  time.Time
	state    *state.Dir
	accounts accounts.All     // whoever is in the gate may use them
	embedded *embedded.Server // nil with an external NATS
	roots    []string         // of the subjects that its guests may read
	http     net.Listener     // nil where it is off
	socket   *local.Socket
	core     *sink.Core
	keeper   *shelf.Keeper
	history  *history.Sampler
	feeds    feeds
	feeding  context.Context // of all feeds; set by Run
	failed   chan error      // room for 1: the first failure ends the daemon

	gate     *gate.Gate
	counting counting

	reloaded atomic.Pointer[answer.Last]
	ready    atomic.Pointer[float64]
	waits    atomic.Pointer[[]local.ChangeLine] // for a restart
}

// New makes everything and opens what others connect to, but runs nothing yet. On an error nothing is left open.
func New(o Options) (d *Daemon, err error) {
	d = &Daemon{Options: o, started: time.Now(), accounts: make(accounts.All), failed: make(chan error, 1), gate: gate.New("the start")}
	d.reloaded.Store(&answer.Last{At: d.started})
	d.ready.Store(&o.Config.HTTP.Ready)
	d.waits.Store(new([]local.ChangeLine))
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	if d.state, err = state.Open(o.Dir); err != nil {
		return d, err
	}
	if o.Config.HTTP.Listen != "" {
		if d.http, err = net.Listen("tcp", o.Config.HTTP.Listen); err != nil {
			return d, fmt.Errorf("http.listen: %w", err)
		}
	}
	if d.socket, err = local.Listen(cmp.Or(o.RuntimeDir, o.Dir)); err != nil {
		return d, err
	}
	if err = d.startNATS(); err != nil {
		return d, err
	}
	last := make(map[string]*pool.Snapshot)
	for _, f := range o.Config.Feeds {
		last[f.Name] = shelf.Last(d.state, f.Name, d.Log)
	}
	d.counting = counting{loaded: d.believed(o.Config, last), added: make(map[string]additions.List)}
	if d.counting.now, d.counting.out, err = d.withAdded(context.Background(), d.counting.loaded); err != nil {
		return d, err
	}
	for _, f := range d.counting.now.Feeds {
		feed, err := d.newFeed(f, last[f.Name])
		if err != nil {
			return d, fmt.Errorf("feed %s: %w", f.Name, err)
		}
		d.feeds.set(append(d.feeds.all(), feed))
	}
	d.keeper = shelf.NewKeeper(shelf.Options{Dir: d.state, Core: d.core, Feeds: d.keptFeeds, Log: d.Log})
	d.history = newHistory(d.shown())
	return d, nil
}

// Close ends what New opened, if Run was never called.
func (d *Daemon) Close() {
	if d.http != nil {
		d.http.Close()
	}
	if d.socket != nil {
		d.socket.Close()
	}
	if d.embedded != nil {
		d.embedded.Shutdown()
	}
	if d.state != nil {
		d.state.Close()
	}
}

// Addr is where HTTP is answered; nil where it is off.
func (d *Daemon) Addr() net.Addr {
	if d.http == nil {
		return nil
	}
	return d.http.Addr()
}

// NATSAddr is where the embedded NATS server listens; nil where there is none, or it does not listen.
func (d *Daemon) NATSAddr() net.Addr {
	if d.embedded == nil {
		return nil
	}
	return d.embedded.Addr()
}

// Counting is what counts: the configuration, with the run-time topics of all feeds, and beside what is held. It is to be
// asked before Run.
func (d *Daemon) Counting() *config.Config { return d.counting.now }

// Started is when the Daemon was made.
func (d *Daemon) Started() time.Time { return d.started }

// Stats is what became of events and notices.
func (d *Daemon) Stats() sink.Stats { return d.core.Stats() }

// Status asks each feed's pool.
func (d *Daemon) Status(ctx context.Context) (list []pool.Status, err error) {
	for _, f := range d.feeds.all() {
		s, err := f.pool.Status(ctx, false)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *Daemon) startNATS() error {
	c := d.Config.NATS
	o := sink.Options{
		URL: c.URL, Name: c.Name, Buffer: int64(c.Buffer), Headers: sink.Headers(c.Headers), Start: seed(), Log: d.Log,
	}
	if !c.IsEmbedded() {
		o.Login = func() (string, []nats.Option, error) {
			login, err := natslogin.Of(c)
			return login.URL, login.Options(d.Log), err
		}
	} else {
		for _, f := range d.Config.Feeds {
			root, err := d.rootOf(f)
			if err != nil {
				return err
			}
			d.roots = append(d.roots, root)
		}
		store := cmp.Or(c.Embedded.StoreDir, filepath.Join(d.Dir, "nats"))
		var err error
		d.embedded, err = embedded.Start(embedded.Options{
			Listen: c.Embedded.Listen, StoreDir: store, Roots: d.roots, Log: d.Log,
		})
		if err != nil {
			return fmt.Errorf("nats.embedded: %w", err)
		}
		o.URL, o.Connect = "", d.embedded.Connect()
	}
	d.core = sink.NewCore(o)
	d.core.Restore(shelf.Notices(d.state, d.Log))
	return nil
}

// rootOf is the first token of all subjects that f publishes on.
func (d *Daemon) rootOf(f *config.Feed) (string, error) {
	s, err := d.Dialects[f.Protocol].SubjectsOf(f)
	return s.Template().Root(), err
}

func seed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}

// Run keeps everything going until ctx ends, then ends it in the order in which events flow: upstream connections
// first, then what waits for NATS, then NATS itself. It is called once. ready is called once all loops run.
func (d *Daemon) Run(ctx context.Context, ready func()) error {
	defer d.Close()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	defer stopPublishing()

	var others sync.WaitGroup
	others.Go(func() {
		if err := d.core.Run(publishing); err != nil {
			d.Log.Warn("ending with events that NATS did not take", "error", err)
		}
	})
	var stopFeeding context.CancelFunc
	d.feeding, stopFeeding = context.WithCancel(ctx)
	defer stopFeeding()
	for _, f := range d.feeds.all() {
		d.start(f)
	}
	d.gate.Leave() // nobody has changed anything before
	d.serve(serving, &others)
	others.Go(func() { d.history.Run(d.feeding) })
	others.Go(func() { d.keeper.Run(d.feeding) })
	ready()

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-d.failed: // a part that should run for ever has ended
	}
	stopFeeding()
	d.gate.Enter(context.WithoutCancel(ctx), "the end") // a reload that is under way ends first
	d.counting.ends = true
	d.gate.Leave()
	for _, f := range d.feeds.all() {
		f.watching.Wait()
		f.running.Wait()
	}
	stopPublishing()
	stopServing()
	others.Wait()
	d.keeper.End(context.WithoutCancel(ctx))
	for _, f := range d.feeds.all() {
		f.keepPosition(d.Log) // NATS has had its chance to take what was handed to it
	}
	select {
	case err := <-d.failed:
		failure = errors.Join(failure, err)
	default:
	}
	return failure
}

// fail ends the daemon because of err.
func (d *Daemon) fail(err error) {
	select {
	case d.failed <- err:
	default: // it ends because of another
		d.Log.Error("another part has failed", "error", err)
	}
}

// serve answers over HTTP and the control socket until ctx ends.
func (d *Daemon) serve(ctx context.Context, running *sync.WaitGroup) {
	shown := d.handler(d.shown())
	if d.http != nil {
		running.Go(func() {
			if err := control.Serve(ctx, d.http, shown, d.Log); err != nil {
				d.fail(err)
			}
		})
	}
	running.Go(func() {
		if err := d.socket.Serve(ctx, local.Options{Daemon: d, Status: shown, Log: d.Log}); err != nil {
			d.fail(err)
		}
	})
}

// Turning says whether every loop answers, and if not, which one.
func (d *Daemon) Turning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	for _, f := range d.feeds.all() {
		if _, err := f.pool.Status(ctx, false); err != nil && !errors.Is(err, pool.ErrEnded) {
			return fmt.Errorf("the loop of feed %s does not turn: %w", f.name, err)
		}
	}
	return nil
}
