package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control"
	"feedmux/internal/embedded"
	"feedmux/internal/sink"
	"feedmux/internal/state"
	"feedmux/pool"
)

// turnWithin is how long a loop may take to answer before it counts as stuck.
const turnWithin = 2 * time.Second

// Options say what a Daemon is made of. Everything without a note is required.
type Options struct {
	Config  *config.Config
	Dir     string // the state directory; made if it does not exist
	Log     *slog.Logger
	Version string

	// Dialects are the protocols that feeds name.
	Dialects map[string]Dialect
}

// Daemon is everything that runs for one configuration.
type Daemon struct {
	Options
	started  time.Time
	state    *state.Dir
	accounts accounts
	embedded *embedded.Server // nil with an external NATS
	http     net.Listener     // nil where it is off
	core     *sink.Core
	feeds    []feed
}

// New makes everything and opens what others connect to, but runs nothing yet. On an error nothing is left open.
func New(o Options) (d *Daemon, err error) {
	d = &Daemon{Options: o, started: time.Now(), accounts: make(accounts)}
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
	if err = d.startNATS(); err != nil {
		return d, err
	}
	for _, f := range o.Config.Feeds {
		feed, err := d.newFeed(f)
		if err != nil {
			return d, fmt.Errorf("feed %s: %w", f.Name, err)
		}
		d.feeds = append(d.feeds, feed)
	}
	return d, nil
}

// Close ends what New opened, if Run was never called.
func (d *Daemon) Close() {
	if d.http != nil {
		d.http.Close()
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

// Started is when the Daemon was made.
func (d *Daemon) Started() time.Time { return d.started }

// Stats is what became of events and notices.
func (d *Daemon) Stats() sink.Stats { return d.core.Stats() }

// Status asks each feed's pool.
func (d *Daemon) Status(ctx context.Context) (list []pool.Status, err error) {
	for _, f := range d.feeds {
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
	if c.IsEmbedded() {
		roots, err := d.subjectRoots()
		if err != nil {
			return err
		}
		store := c.Embedded.StoreDir
		if store == "" {
			store = filepath.Join(d.Dir, "nats")
		}
		d.embedded, err = embedded.Start(embedded.Options{
			Listen: c.Embedded.Listen, StoreDir: store, Roots: roots, Log: d.Log,
		})
		if err != nil {
			return fmt.Errorf("nats.embedded: %w", err)
		}
		o.URL, o.Connect = "", d.embedded.Connect()
	}
	d.core = sink.NewCore(o)
	d.restoreNotices()
	return nil
}

// subjectRoots are the first tokens of all subjects that feeds publish on.
func (d *Daemon) subjectRoots() (roots []string, err error) {
	for _, f := range d.Config.Feeds {
		s, err := d.Dialects[f.Protocol].SubjectsOf(f)
		if err != nil {
			return nil, err
		}
		roots = append(roots, s.Template().Root())
	}
	return roots, nil
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

	var pools, others sync.WaitGroup
	failures := make(chan error, 2+len(d.feeds)) // one for each goroutine: none waits
	others.Go(func() {
		if err := d.core.Run(publishing); err != nil {
			d.Log.Warn("ending with events that NATS did not take", "error", err)
		}
	})
	if d.http != nil {
		others.Go(func() {
			if err := control.Serve(serving, d.http, d.handler(), d.Log); err != nil {
				failures <- err
			}
		})
	}
	feeding, stopFeeding := context.WithCancel(ctx)
	defer stopFeeding()
	for _, f := range d.feeds {
		f.watch(feeding, &pools, d.Log)
		pools.Go(func() {
			if err := f.pool.Run(feeding); err != nil {
				failures <- fmt.Errorf("feed %s: %w", f.name, err)
			}
		})
	}
	keeper := d.newKeeper()
	others.Go(func() { keeper.run(feeding) })
	ready()

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failures: // a part that should run for ever has ended
	}
	stopFeeding()
	pools.Wait()
	stopPublishing()
	stopServing()
	others.Wait()
	keeper.keep(context.WithoutCancel(ctx), true) // exact, now that the pools have ended
	d.keepPositions()
	for {
		select {
		case err := <-failures:
			failure = errors.Join(failure, err)
		default:
			return failure
		}
	}
}

// Turning says whether every loop answers, and if not, which one.
func (d *Daemon) Turning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	for _, f := range d.feeds {
		if _, err := f.pool.Status(ctx, false); err != nil {
			return fmt.Errorf("the loop of feed %s does not turn: %w", f.name, err)
		}
	}
	return nil
}
