package control

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// grace is how long requests may take to end once the daemon ends.
const grace = 3 * time.Second

// What a client may take. Each bound holds whatever the client does, and none needs another client to behave.
const (
	maxConns    = 64 // one more closes the one that has gone longest without a request, unless that is being answered: see crowd
	maxHeader   = 16 << 10
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	answerTime  = 10 * time.Second // the profiles of pprof ask for more, and get it
	idleTime    = 2 * time.Minute  // longer than the usual time between two scrapes
)

// Serve answers on l until ctx ends, and then returns nil once every connection is closed and every request has ended:
// those that take longer than three seconds are cancelled. It returns an error only where l fails. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var conns sync.WaitGroup
	var open crowd
	server := &http.Server{
		Handler:           open.watch(withoutBodies(h)),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		// Else "OPTIONS *" would be answered past the handler.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		// The server waits for connections only while it shuts down in good time. These two calls frame the goroutine
		// of each connection, and the first is made before Serve below can return.
		ConnState: func(c net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				conns.Add(1)
				open.add(c)
			case http.StateActive:
				open.asked(c)
			case http.StateClosed:
				open.remove(c)
				conns.Done()
			}
		},
	}

	failed := make(chan error, 1) // one value, sent when the server no longer accepts
	go func() { failed <- server.Serve(l) }()

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
		patient, done := context.WithTimeout(requests, grace)
		server.Shutdown(patient) // the requests that outlast it end below
		done()
		<-failed
	}
	cancel()
	server.Close()
	conns.Wait()
	return err
}
