// Command feedmux holds live feeds over rationed WebSocket connections and publishes their events on NATS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // feeds name time zones, and not every system has them

	"github.com/spf13/cobra"

	"feedmux/internal/operate"
	"feedmux/internal/simulators"
)

// Exit codes: users and service managers rely on them.
const (
	exitFailed = 1  // failed at run time
	exitUsage  = 2  // wrong usage
	exitConfig = 78 // bad configuration: only editing the file cures it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-ctx.Done()
		stop() // a second signal ends at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	var failure *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failure):
		complain(stderr, failure.err.Error())
		return failure.code
	}
	complain(stderr, fmt.Sprintf("feedmux: %v\nTry \"%s --help\".", err, c.CommandPath()))
	return exitUsage
}

// complain writes what a command fails with. In the journal it is an error, as the log's lines there have their priority.
func complain(w io.Writer, text string) {
	if isJournal(w, os.Getenv("JOURNAL_STREAM")) {
		text = "<3>" + strings.ReplaceAll(text, "\n", "\n<3>")
	}
	fmt.Fprintln(w, text)
}

// failure is an error of a command that was called rightly. Any other error is one of usage.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failed gives err its exit code.
func failed(err error) error {
	var known *failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &failure{exitFailed, fmt.Errorf("feedmux: %w", err)}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "feedmux",
		Short: "Live feeds over rationed WebSocket connections, delivered on NATS",
		Long: `feedmux shards thousands of live topics over a bounded pool of upstream WebSocket
connections, paces every dial, staggers pings, and publishes each event on a NATS
subject. What it could not hold it says aloud.

Start here:
  feedmux demo                          see all of it at work; nothing else is needed
  feedmux check --config config.toml    what a configuration would do
  feedmux run --config config.toml      the daemon
  feedmux status                        what it does`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(runCommand(), demoCommand(), checkCommand(), simulators.Command(failed), manCommand(), versionCommand())
	root.AddCommand(operate.Commands(failed, func(err error) error { return &failure{exitConfig, err} })...)
	withoutFiles(root)
	return root
}

// withoutFiles keeps shells from offering files as arguments of commands that take none; those of flags may be files.
func withoutFiles(c *cobra.Command) {
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range c.Commands() {
		withoutFiles(sub)
	}
}
