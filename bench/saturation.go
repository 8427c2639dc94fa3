package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// saturation lets the three run in turn against an upstream that sends as fast as each reads.
func saturation(ctx context.Context, binary string, pairs int, each time.Duration) error {
	s, err := set(ctx, binary, "twitch-pubsub", "--saturate")
	if err != nil {
		return err
	}
	defer s.end()
	fmt.Printf("%d connections of %d topics, %d rounds of %s for each program\n\n", connections, perSlot, pairs, each)
	fmt.Printf("%5s  %14s  %14s  %14s  %14s  %14s\n", "round", "floor ns", "daemon ns", "usual ns", "daemon/floor", "daemon/usual")
	var floors, daemons, usuals, toFloor, toUsual []float64
	for i := range pairs {
		floor, err := s.runRival(ctx, "floor", each)
		if err != nil {
			return err
		}
		daemon, err := s.runDaemon(ctx, binary, each)
		if err != nil {
			return err
		}
		usual, err := s.runRival(ctx, "usual", each)
		if err != nil {
			return err
		}
		f, d, u := float64(floor.perEvent()), float64(daemon.perEvent()), float64(usual.perEvent())
		floors, daemons, usuals = append(floors, f), append(daemons, d), append(usuals, u)
		toFloor, toUsual = append(toFloor, d/f), append(toUsual, d/u)
		fmt.Printf("%5d  %14.0f  %14.0f  %14.0f  %14.2f  %14.2f\n", i+1, f, d, u, d/f, d/u)
	}
	fmt.Printf("%5s  %14.0f  %14.0f  %14.0f  %14.2f  %14.2f\n", "med.",
		median(floors), median(daemons), median(usuals), median(toFloor), median(toUsual))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// runDaemon lets the daemon work for about as long as its rivals. Its buffer has room for all that NATS does not take at
// once, and at its end it publishes what waits there: all that it read is counted.
func (s *scene) runDaemon(ctx context.Context, binary string, each time.Duration) (measured, error) {
	d, err := s.startDaemon(ctx, binary, "1GiB")
	if err != nil {
		return measured{}, err
	}
	begin := time.Now()
	select {
	case <-time.After(each):
	case <-ctx.Done():
	}
	published, dropped, err := d.end()
	if err == nil && dropped > 0 {
		err = fmt.Errorf("the daemon dropped %d events: the figures would be of something else", dropped)
	}
	return measured{published, cpuOf(d.cmd), time.Since(begin)}, err
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close()
	return l.Addr().String()
}
