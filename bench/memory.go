package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// memory looks at the daemon's resident memory while it works.
func memory(ctx context.Context, binary string, last time.Duration) error {
	s, err := set(ctx, binary, "twitch-pubsub", "--rate", "1000")
	if err != nil {
		return err
	}
	defer s.end()
	d, err := s.startDaemon(ctx, binary, "16MiB")
	if err != nil {
		return err
	}
	err = d.ready(ctx)
	if err == nil {
		fmt.Printf("external NATS, %d connections, %d topics, 1,000 events/s\n\n%6s  %10s  %10s  %10s\n",
			connections, connections*perSlot, "s", "VmRSS", "RssAnon", "VmHWM")
		begin := time.Now()
		for time.Since(begin) < last && ctx.Err() == nil {
			time.Sleep(min(last/6, 10*time.Second))
			var v map[string]string
			if v, err = vitals(d.cmd.Process.Pid); err != nil {
				break
			}
			fmt.Printf("%6.0f  %10s  %10s  %10s\n", time.Since(begin).Seconds(), v["VmRSS"], v["RssAnon"], v["VmHWM"])
		}
	}
	published, dropped, endErr := d.end()
	if err == nil {
		err = endErr
	}
	fmt.Printf("\n%d events published, %d dropped\n", published, dropped)
	return err
}

// vitals reads /proc: Linux only.
func vitals(pid int) (map[string]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	v := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			v[name] = strings.TrimSpace(value)
		}
	}
	return v, nil
}
