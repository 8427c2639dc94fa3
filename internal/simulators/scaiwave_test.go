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

	"feedmux/internal/sim/scaiwave"
)

func TestEveryOptionOfTheSimulatedScaiWaveIsAFlag(t *testing.T) {
	f := pflag.NewFlagSet("sim", pflag.ContinueOnError)
	var o scaiwave.Options
	scaiWaveFlags(f, &o)
	words := regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
	options := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[scaiwave.Options]()) {
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

func TestSimulatedScaiWaveAnswersUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, says := io.Pipe()
	c := scaiWaveCommand(serving{failed: same})
	c.SetOut(says)
	c.SetArgs([]string{"--listen", "127.0.0.1:0", "--token", "abc"})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`ws://([^/]+)/v1/stream`).FindStringSubmatch(line)
	if address == nil {
		t.Fatalf("it says %q", line)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address[1]+"/v1/sync?timeout=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer abc")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(body), `{"data":{"events":[`) {
		t.Errorf("sync: %d %s, %v", resp.StatusCode, body, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended: %v", err)
	}
}
