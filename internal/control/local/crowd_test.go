package local

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestConnectionsThatSayNothingThrowNobodyOut(t *testing.T) {
	f := &fake{looks: make(chan struct{}, 1), came: make(chan struct{}), delay: make(chan struct{})}
	s := serve(t, f)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	lines, ended := make(chan Line, maxTails), make(chan error, maxTails)
	for range maxTails {
		go func() {
			ended <- s.client().Tail(ctx, "twitch", nil, func(l Line) error { lines <- l; return nil })
		}()
		<-f.looks
	}
	listed := make(chan error, 1)
	go func() {
		_, err := s.client().Topics(ctx, "twitch")
		listed <- err
	}()
	<-f.came // it is being answered

	for range 150 {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := s.client().Status(ctx, nil); err != nil { // all of them were taken in before it
		t.Errorf("beside them: %v", err)
	}
	f.tap.Offer("twitch", "raid.1", "s", []byte("1"), time.Now())
	for range maxTails {
		select {
		case <-lines:
		case err := <-ended:
			t.Fatalf("a tail was thrown out: %v", err)
		}
	}
	f.delay <- struct{}{}
	if err := <-listed; err != nil {
		t.Errorf("the request that was being answered: %v", err)
	}
	stop()
	for range maxTails {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
