package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"feedmux/internal/regular"
)

const (
	// runTime is how long a command may take.
	runTime = 30 * time.Second

	// closeTime is how long, after a command's end, is waited for others that it started to close its output.
	closeTime = time.Second
)

var (
	errTooLong  = fmt.Errorf("it printed more than %d KiB", regular.Small>>10)
	errTooSlow  = fmt.Errorf("it did not end within %s", runTime)
	errHeldOpen = errors.New("it ended, but left a program behind that keeps its output open")
)

// run runs a program and gives what it printed. It has no input, its messages are thrown away, and it is in a process group
// of its own, which is killed when the program has ended, prints too much, takes longer than limit, or ctx ends. run returns once
// the program is gone.
func run(ctx context.Context, argv []string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooSlow)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	output := &bounded{full: func() { end(errTooLong) }}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout = output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = closeTime
	err := cmd.Run()
	if cmd.Process != nil {
		_ = cmd.Cancel() // those that it left behind; most leave none
	}
	if err == nil {
		return output.text.Bytes(), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil, errHeldOpen // there is no telling whether all of it was read
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("%w (what it says is kept nowhere: run it by hand to see)", err)
	}
	return nil, err
}

// bounded keeps regular.Small bytes at most; more are an error.
type bounded struct {
	full func() // called when there is more
	text bytes.Buffer
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > regular.Small {
		b.full()
		return 0, errTooLong
	}
	return b.text.Write(p)
}
