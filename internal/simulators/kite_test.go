package simulators

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"feedmux/internal/sim/kite"
)

func TestEveryOptionOfTheSimulatedKiteIsAFlag(t *testing.T) {
	f := pflag.NewFlagSet("sim", pflag.ContinueOnError)
	var o kite.Options
	kiteFlags(f, &o)
	words := regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
	options := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[kite.Options]()) {
		if field.Anonymous || field.Name == "Log" || field.Name == "Record" || field.Name == "Saturate" {
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
		t.Errorf("%d flags for %d options", flags, options)
	}
}

func TestExamplesOfTheSimulatedKiteAreGoodCommands(t *testing.T) {
	for line := range strings.Lines(kiteCommand(serving{failed: same}).Example) {
		command, _, _ := strings.Cut(line, "#")
		args := strings.Fields(command)[3:]
		if err := kiteCommand(serving{failed: same}).ParseFlags(args); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestSimulatedKiteAnswersUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, says := io.Pipe()
	c := kiteCommand(serving{failed: same})
	c.SetOut(says)
	c.SetArgs([]string{"--listen", "127.0.0.1:0", "--token", "abc"})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`ws://(\S+)`).FindStringSubmatch(line)
	if address == nil {
		t.Fatalf("it says %q", line)
	}
	for token, want := range map[string]int{"abc": http.StatusSwitchingProtocols, "xyz": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address[1]+"/?api_key=k&access_token="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token %s: %d, want %d", token, resp.StatusCode, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended: %v", err)
	}
}

func same(err error) error { return err }
