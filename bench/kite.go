package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// instruments is as many as one API key may have: three connections of 3,000.
const instruments = 9000

// kite lets the daemon work for a while at the most that Kite allows one key, and fails if anything was lost.
func kite(ctx context.Context, binary, mode string, rate int, last time.Duration) error {
	s, err := set(ctx, binary, "kite", "--rate", fmt.Sprint(rate))
	if err != nil {
		return err
	}
	defer s.end()
	var topics strings.Builder
	for i := range instruments {
		fmt.Fprintf(&topics, "{ topic = \"%d\", mode = %q },\n", (i+1)<<8|1, mode)
	}
	d, err := s.startFeed(ctx, binary, "16MiB", fmt.Sprintf(`
name = "kite"
protocol = "kite"
auth.env = %q
options.api_key = "bench"
dial.rate = "100/1s"
topics = [%s]
`, tokenVariable, &topics))
	if err != nil {
		return err
	}
	begin := time.Now()
	err = d.ready(ctx)
	var v map[string]string
	if err == nil {
		fmt.Printf("3 connections, %d instruments in mode %s, %d ticks/s\n", instruments, mode, rate)
		select {
		case <-time.After(last):
		case <-ctx.Done():
		}
		if v, err = vitals(d.cmd.Process.Pid); err == nil {
			err = d.lostNothing()
		}
	}
	published, dropped, endErr := d.end()
	m := measured{published, cpuOf(d.cmd), time.Since(begin)}
	switch {
	case err != nil:
		return err
	case endErr != nil:
		return endErr
	case dropped > 0:
		return fmt.Errorf("the daemon dropped %d events", dropped)
	}
	fmt.Printf("%d published, 0 dropped, no gap; %.0f ns of processor time each, %.2f processors; VmRSS %s, RssAnon %s\n",
		published, float64(m.perEvent()), m.cpu.Seconds()/m.wall.Seconds(), v["VmRSS"], v["RssAnon"])
	return nil
}

// lostNothing asks the daemon whether a connection ended or a gap opened.
func (d *daemon) lostNothing() error {
	r, err := http.Get("http://" + d.http + "/metrics")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		for _, bad := range []string{"feedmux_disconnects_total", "feedmux_gaps_total"} {
			if strings.HasPrefix(lines.Text(), bad) && !strings.HasSuffix(lines.Text(), " 0") {
				return fmt.Errorf("the daemon lost something: %s", lines.Text())
			}
		}
	}
	return lines.Err()
}
