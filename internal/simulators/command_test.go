package simulators

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"feedmux/internal/sim/kite"
	"feedmux/internal/sim/scaiwave"
	"feedmux/internal/sim/twitch"
)

func TestEveryOptionIsAFlag(t *testing.T) {
	f := func(fill func(*pflag.FlagSet)) *pflag.FlagSet {
		f := pflag.NewFlagSet("sim", pflag.ContinueOnError)
		fill(f)
		return f
	}
	wantFlags[twitch.PubSubOptions](t, f(func(f *pflag.FlagSet) { pubSubFlags(f, new(twitch.PubSubOptions)) }), "Log", "Record")
	wantFlags[kite.Options](t, f(func(f *pflag.FlagSet) { kiteFlags(f, new(kite.Options)) }), "Log", "Record", "Saturate")
	wantFlags[scaiwave.Options](t, f(func(f *pflag.FlagSet) { scaiWaveFlags(f, new(scaiwave.Options)) }), "Log", "Record", "Saturate")
}

// wantFlags fails unless each field of O has a flag, but those named, and there are no others.
func wantFlags[O any](t *testing.T, f *pflag.FlagSet, but ...string) {
	t.Helper()
	words := regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
	options := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[O]()) {
		if field.Anonymous || slices.Contains(but, field.Name) {
			continue
		}
		options++
		if name := strings.ToLower(words.ReplaceAllString(field.Name, "$1$3-$2$4")); f.Lookup(name) == nil {
			t.Errorf("%s: no flag --%s", field.Name, name)
		}
	}
	flags := 0
	f.VisitAll(func(*pflag.Flag) { flags++ })
	if flags != options {
		t.Errorf("%T: %d flags for %d options", *new(O), flags, options)
	}
}

func TestExamplesAreGoodCommands(t *testing.T) {
	for _, command := range []func(serving) *cobra.Command{twitchCommand, kiteCommand, scaiWaveCommand} {
		for line := range strings.Lines(command(serving{failed: same}).Example) {
			text, _, _ := strings.Cut(line, "#")
			args := strings.Fields(strings.ReplaceAll(text, "'", ""))[3:]
			if err := command(serving{failed: same}).ParseFlags(args); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

func TestAllOfThemRunSideBySide(t *testing.T) {
	all, ports := Command(same).Commands(), make(map[string]string)
	for _, c := range all {
		address := c.Flags().Lookup("listen").DefValue
		if other, taken := ports[address]; taken {
			t.Errorf("%s and %s both listen on %s", other, c.Name(), address)
		}
		ports[address] = c.Name()
		_, port, _ := strings.Cut(address, ":")
		if found := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(c.Long); found != nil && found[1] != port {
			t.Errorf("the help of %s names the port %s, not %s", c.Name(), found[1], port)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d simulators", len(all))
	}
}

func TestAnAddressThatIsTakenIsNamedWithItsFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{"twitch-pubsub", "kite", "scaiwave"} {
		c := Command(same)
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs([]string{name, "--listen", l.Addr().String()})
		if err := c.ExecuteContext(t.Context()); !errors.Is(err, syscall.EADDRINUSE) ||
			!strings.HasPrefix(err.Error(), "--listen "+l.Addr().String()+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// serve runs a command, for which "abc" is the only good token, and which answers at path. end fails unless it ends in good order.
func serve(t *testing.T, c *cobra.Command, path string) (address string, ctx context.Context, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, says := io.Pipe()
	c.SetOut(says)
	c.SetArgs([]string{"--listen", "127.0.0.1:0", "--token", "abc"})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`ws://([^/\s]+)` + path + ` `).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("it says %q", line)
	}
	return found[1], ctx, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended: %v", err)
		}
	}
}

func same(err error) error { return err }
