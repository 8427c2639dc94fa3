// Command bench measures the daemon as a whole process: what an event costs at saturation, beside a floor and beside
// the usual program, how much memory a day's work takes, and what a full Kite costs. README.md in this folder says how to read it.
//
// The daemon is the real binary, built here; what it talks to are processes of their own, so that only its own time is
// counted. All talk over loopback and end by themselves.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const usage = `usage: go run ./bench COMMAND [flags]
  saturation   processor time for each event: the floor, the daemon and the usual program, in turn
  memory       resident memory of the daemon at 500 topics and 1,000 events a second
  kite         processor time and memory of the daemon at 9,000 instruments and 20,000 ticks a second`

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "saturation":
		pairs := flags.Int("pairs", 9, "rounds; medians are taken over them")
		each := flags.Duration("each", 3*time.Second, "how long one process runs")
		kind := flags.String("kind", "", "want topics of this kind alone, such as video-playback-by-id (150-byte frames)")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		os.Setenv(onlyKind, *kind)
		return withBinary(ctx, func(binary string) error { return saturation(ctx, binary, *pairs, *each) })
	case "memory":
		last := flags.Duration("for", 30*time.Second, "how long to look")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return withBinary(ctx, func(binary string) error { return memory(ctx, binary, *last) })
	case "kite":
		last := flags.Duration("for", 20*time.Second, "how long to look")
		rate := flags.Int("rate", 20_000, "ticks a second")
		mode := flags.String("mode", "quote", "of all instruments: ltp, quote or full")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return withBinary(ctx, func(binary string) error { return kite(ctx, binary, *mode, *rate, *last) })
	case "nats", "floor", "usual": // what saturation and memory start
		return role(ctx, args[0], args[1:])
	}
	return errors.New(usage)
}

// withBinary builds the daemon as a release is built.
func withBinary(ctx context.Context, use func(binary string) error) error {
	dir, err := os.MkdirTemp("", "feedmux-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "feedmux")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "feedmux/cmd/feedmux")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the daemon: %w\n%s", err, out)
	}
	return use(binary)
}
