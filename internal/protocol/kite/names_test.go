package kite

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

const dumpHead = "instrument_token,exchange,tradingsymbol\n"

const dumpText = `instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE
256265,1001,NIFTY 50,"NIFTY, fifty",0,,0.0,0.0,0,EQ,INDICES,NSE
128028676,500112,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,BSE,BSE
257,1,TWICE,,0,,0,0,0,EQ,BSE,BSE
513,2,TWICE,,0,,0,0,0,EQ,BSE,BSE
513,2,SAME,,0,,0,0,0,EQ,BSE,BSE
513,2,SAME,,0,,0,0,0,EQ,BSE,BSE
769,3,ÜBER,,0,,0,0,0,EQ,BSE,BSE
`

func dump(t testing.TB) *Dump {
	d, err := ReadDump(strings.NewReader(dumpText))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADumpLeadsFromNamesToTokens(t *testing.T) {
	d := dump(t)
	for name, want := range map[shard.Topic]string{
		"NSE:INFY":     "408065 ",
		"NSE:NIFTY 50": "256265 ",
		"BSE:INFY":     "128028676 ",
		"BSE:SAME":     "513 ",
		"BSE:TWICE":    "0 the instruments file has two tokens for BSE:TWICE, 257 and 513: ask for the one you mean",
		"NSE:X":        "0 NSE:X is not in the instruments file",
		"BSE:ÜBER":     "0 BSE:ÜBER is not in the instruments file",
	} {
		token, problem := d.find(name)
		if got := fmt.Sprint(token, " ", problem); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if d.Len() != 4 {
		t.Errorf("%d names", d.Len())
	}
}

func TestADumpThatIsNotWholeIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "it is empty",
		"instrument_token,tradingsymbol\n1,A":  "line 1: there is no column exchange",
		dumpHead:                               "it has no rows",
		dumpHead + "1,NSE,A\n2,NSE":            "line 3",
		dumpHead + "1,NSE,A\n\n0,NSE,B\n":      `line 4: "0" is no instrument_token`,
		dumpHead + "1,NSE,A\n-1,NSE,B\n":       "line 3",
		dumpHead + "01,NSE,A\n":                "line 2",
		dumpHead + "4294967296,NSE,A\n":        "line 2",
		dumpHead + "1,NSE,\"A\n":               "line 2",
		"<html>503 Service Unavailable</html>": "line 1",
	} {
		if d, err := ReadDump(strings.NewReader(text)); err == nil || d != nil || !strings.Contains(err.Error(), want) ||
			len(err.Error()) > 200 {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	if d, err := ReadDump(strings.NewReader("\ufeff" + dumpHead + "1,NSE,A\n")); err != nil || d.Len() != 1 {
		t.Errorf("with a byte order mark: %v", err)
	}
}

// The last column is the exchange: a row that is cut inside it has all its columns.
func TestADumpThatIsCutInsideALineIsAnError(t *testing.T) {
	for n := range len(dumpText) {
		_, err := ReadDump(strings.NewReader(dumpText[:n]))
		if cut := n == 0 || dumpText[n-1] != '\n'; cut && err == nil {
			t.Errorf("a file that ends with %q is taken", dumpText[max(0, n-20):n])
		}
	}
}

func TestADumpTakesLittleMemory(t *testing.T) {
	var text strings.Builder
	text.WriteString(dumpHead)
	const rows = 90_000
	for i := range rows {
		fmt.Fprintf(&text, "%d,NFO,NIFTY25AUG%05dCE\n", i+1, i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, err := ReadDump(strings.NewReader(text.String()))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || d.Len() != rows {
		t.Fatalf("%d names, %v", d.Len(), err)
	}
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 16<<20 {
		t.Errorf("%d KiB", n>>10)
	}
	runtime.KeepAlive(d)
}

func TestEntriesAreChecked(t *testing.T) {
	for _, c := range []struct {
		entry Entry
		dump  bool
		want  []string
	}{
		{Entry{Topic: "408065"}, false, nil},
		{Entry{Topic: "4294967295", Mode: "full", Name: "NSE:INFY"}, false, nil},
		{Entry{Topic: "NSE:NIFTY 50", Mode: "ltp"}, true, nil},
		{Entry{Topic: "NSE:INFY"}, false, []string{"topic: NSE:INFY is a name: it needs options.instruments, or write the instrument's token"}},
		{Entry{Topic: "408065", Mode: "Full"}, false, []string{"mode: \"Full\" must be ltp, quote or full; did you mean full?"}},
		{Entry{Topic: "NSE:INFY", Name: "NSE:INFY"}, true, []string{"name: \"NSE:INFY\" goes with a token only: the topic has a name already"}},
		{Entry{Topic: "0", Mode: "x", Name: "x"}, true, []string{
			"topic: \"0\" must be an instrument's token, from 1 to 4294967295, or its name: a name is EXCHANGE:SYMBOL, as in NSE:INFY",
			"mode: \"x\" must be ltp, quote or full",
			"name: \"x\": a name is EXCHANGE:SYMBOL, as in NSE:INFY",
		}},
		{Entry{Topic: "1", Name: "NSE:" + strings.Repeat("x", 97)}, true, []string{`name: "NSE:` + strings.Repeat("x", 96) + `": a name has at most 100 bytes, not 101`}},
		{Entry{Topic: " NSE:INFY", Name: "NSE /INFY"}, true, []string{
			`topic: " NSE:INFY" must be an instrument's token, from 1 to 4294967295, or its name: a name is EXCHANGE:SYMBOL, ` +
				`as in NSE:INFY; did you mean NSE:INFY?`,
			`name: "NSE /INFY": a name is EXCHANGE:SYMBOL, as in NSE:INFY; did you mean NSE:INFY?`,
		}},
		{Entry{Topic: "1", Name: "NSE:a\tb"}, true, []string{`name: "NSE:a\tb": a name is printable ASCII, but byte 6 is '\t'`}},
	} {
		var got []string
		c.entry.Check(c.dump, func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c.entry, got)
		}
	}
	for _, bad := range []string{"", "00408065", "+1", "-1", "1_0", "4294967296", "INFY", ":INFY", "NSE:", "NSE: INFY", " NSE:INFY", "NSE:É"} {
		said := 0
		Entry{Topic: bad}.Check(true, func(string, string, ...any) { said++ })
		if said != 1 {
			t.Errorf("%q: %d reports", bad, said)
		}
	}
}

func TestResolveGivesEachTopicItsInstrument(t *testing.T) {
	entries := []Entry{
		{Topic: "NSE:INFY", Mode: "full"},
		{Topic: "256265", Name: "NSE:NIFTY"},
		{Topic: "NSE:X"},
		{Topic: "408065"},
		{Topic: "NSE:INFY", Mode: "full"},
		{Topic: "NSE:INFY"},
		{Topic: "1025", Name: "NSE:NIFTY"},
		{Topic: "BSE:INFY"},
	}
	last := map[string]uint32{"NSE:INFY": 1, "NSE:NIFTY": 2, "BSE:INFY": 128028676, "NSE:X": 7, "gone": 9}
	got, conflicts := Resolve(entries, dump(t), last)
	infy := protocol.Topic{Name: "NSE:INFY", Options: Instrument{Token: 408065, Mode: Full, Was: 1}}
	nifty := protocol.Topic{Name: "NSE:NIFTY", Options: Instrument{Token: 256265}}
	want := []protocol.Topic{
		infy,
		nifty,
		{Name: "NSE:X", Options: Instrument{Problem: "NSE:X is not in the instruments file"}},
		{Name: "408065", Options: Instrument{Token: 408065, Problem: "is the same instrument as NSE:INFY (token 408065)"}},
		infy,
		infy,
		nifty,
		{Name: "BSE:INFY", Options: Instrument{Token: 128028676}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if want := []Conflict{
		{0, 3, "408065 is the same instrument as NSE:INFY (token 408065)"},
		{0, 5, "NSE:INFY is listed twice, with the modes full and quote"},
		{1, 6, "NSE:NIFTY is listed twice, for the tokens 256265 and 1025"},
	}; !reflect.DeepEqual(conflicts, want) {
		t.Errorf("got\n%+v\nwant\n%+v", conflicts, want)
	}
	if got, want := Tokens(got), (map[string]uint32{
		"NSE:INFY": 408065, "408065": 408065, "NSE:NIFTY": 256265, "BSE:INFY": 128028676,
	}); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestWithoutADumpNamesStandForWhatTheyStoodFor(t *testing.T) {
	for want, dump := range map[string]*Dump{
		"there is no instruments file to look it up in":                   nil,
		"there is no good instruments file to look it up in: it is empty": NoDump(errors.New("it is empty")),
	} {
		got, _ := Resolve([]Entry{{Topic: "NSE:INFY"}, {Topic: "NSE:X"}, {Topic: "257"}}, dump, map[string]uint32{"NSE:INFY": 408065})
		for i, want := range []Instrument{{Token: 408065}, {Problem: want}, {Token: 257}} {
			if got[i].Options != want {
				t.Errorf("%+v, want %+v", got[i], want)
			}
		}
	}
}

func TestCheckSaysWhatIsWrongWithAnInstrument(t *testing.T) {
	p := New(Options{})
	for options, good := range map[any]bool{
		nil:                                false,
		"408065":                           false,
		Instrument{}:                       false,
		Instrument{Token: 1}:               true,
		Instrument{Token: 1, Mode: Full}:   true,
		Instrument{Token: 1, Mode: 3}:      false,
		Instrument{Token: 1, Problem: "x"}: false,
	} {
		if err := p.Check(protocol.Topic{Name: "x", Options: options}); (err == nil) != good {
			t.Errorf("%+v: %v", options, err)
		}
	}
}

func TestANoteTellsOfAnotherTokenAndOfNothingElse(t *testing.T) {
	const moved = "the instruments file gives it token 2, where it was 1"
	for _, c := range []struct {
		before, now any
		want        string
	}{
		{nil, Instrument{Token: 2, Was: 1}, moved},
		{Instrument{Token: 1}, Instrument{Token: 2, Was: 1}, moved},
		{Instrument{Token: 1}, Instrument{Token: 2}, moved},
		{Instrument{Problem: "gone"}, Instrument{Token: 2, Was: 1}, moved},
		{Instrument{Token: 2, Was: 1}, Instrument{Token: 2, Was: 1, Mode: Full}, ""},
		{Instrument{Token: 2, Was: 1}, Instrument{Token: 2}, ""},
		{Instrument{Token: 1}, Instrument{Token: 1, Mode: Full}, ""},
		{Instrument{Token: 1}, Instrument{Problem: "gone"}, ""},
		{nil, Instrument{Token: 2}, ""},
		{nil, nil, ""},
	} {
		if got := Note(c.before, c.now); got != c.want {
			t.Errorf("from %+v to %+v: %q", c.before, c.now, got)
		}
	}
}
