package simulators

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"feedmux/internal/sim/twitch"
)

func TestEveryOptionOfTheSimulatorIsAFlag(t *testing.T) {
	f := pflag.NewFlagSet("sim", pflag.ContinueOnError)
	var o twitch.PubSubOptions
	pubSubFlags(f, &o)
	words := regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
	options := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[twitch.PubSubOptions]()) {
		if field.Anonymous || field.Name == "Log" || field.Name == "Record" {
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
