package dialects

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/instruments"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/kite"
	"feedmux/internal/secret"
	"feedmux/shard"
)

func kiteTicker() Dialect {
	return Dialect{
		Protocol: config.Protocol{
			URL:                 kite.DefaultURL,
			Connections:         kite.Connections,
			TopicsPerConnection: kite.TopicsPerConnection,
			SubscribeBatch:      kite.SubscribeBatch,
			UsualBatch:          kite.DefaultBatch,
			SubscribeRate:       config.Rate{N: 1, Per: kite.DefaultEvery},
			Ping:                kite.PingInterval,
			NeedsSecret:         true,
			RefreshBefore:       30 * time.Minute, // a person must log in before
			HiddenOptions:       []string{"api_key"},
			TopicKeys:           []string{"mode", "name"},
			Label:               func(t config.Topic) string { return string(kiteEntry(t).Label()) },
			FileOptions:         []string{"instruments"},
			Account: func(f *config.Feed) string {
				s := kite.DecodeOptions(f.Options, ignore)
				if s.APIKey == "" {
					return "kite-" + f.Name // that it is missing is told by itself
				}
				return "kite-" + fingerprint(s.APIKey)
			},
			Check: checkKite,
		},
		Dialect: dialect.Dialect{
			New: func(f *config.Feed, s *secret.Secret) (protocol.Protocol, error) {
				o := kite.DecodeOptions(f.Options, ignore)
				return kite.New(kite.Options{
					URL: f.URL, APIKey: o.APIKey, Token: tokenOf(s), DropInvalid: o.DropInvalid, Frame: f.WantsFrame(),
				}), nil
			},
			Source:    kiteSource,
			Variables: []string{"mode", "token"},
			Values: func(w shard.Wanted) [][]byte {
				i, _ := w.Options.(kite.Instrument)
				values := [][]byte{[]byte(i.Mode.String()), nil}
				if i.Token != 0 {
					values[1] = strconv.AppendUint(nil, uint64(i.Token), 10)
				}
				return values
			},
			Note: kite.Note,
			TokenDies: func(f *config.Feed, after time.Time) time.Time {
				return kite.DecodeOptions(f.Options, ignore).TokenDiesAt.Next(after)
			},
		},
		claims:   kiteClaims,
		distinct: "token",
		values:   1, // the order's status
		messages: kiteMessages,
	}
}

// kiteEntry reads a topic whose options were checked.
func kiteEntry(t config.Topic) kite.Entry {
	mode, _ := t.Options["mode"].(string)
	name, _ := t.Options["name"].(string)
	return kite.Entry{Topic: t.Name, Mode: mode, Name: name}
}

func checkKite(f *config.Feed, report config.Report) {
	good := true
	tell := func(key, format string, args ...any) {
		good = false
		report(key, format, args...)
	}
	s := kite.DecodeOptions(f.Options, tell)
	entries := make([]kite.Entry, len(f.Topics))
	for i, t := range f.Topics {
		key := fmt.Sprintf("topics[%d].", i)
		for name, value := range t.Options {
			if _, ok := value.(string); !ok {
				tell(key+name, "must be a string")
			}
		}
		entries[i] = kiteEntry(t)
		_, named := f.Options["instruments"]
		entries[i].Check(named, func(name, format string, args ...any) { tell(key+name, format, args...) })
	}
	checkPace(f, report)
	var dump *kite.Dump
	if s.Instruments != "" {
		_, err := instruments.Read(s.Instruments, func(r io.Reader) (err error) {
			dump, err = kite.ReadDump(r)
			return err
		})
		if err != nil { // it is no part of the configuration, and may be good later: the plan says so
			dump = kite.NoDump(err)
		}
	}
	if !good {
		return
	}
	_, conflicts := kite.Resolve(entries, dump, nil)
	for _, c := range conflicts {
		first := f.Topics[c.First].Place
		report(fmt.Sprintf("topics[%d]", c.Second), "%s; the other is at %s:%d", c.Text, first.File, first.Line)
	}
}

// kiteSource follows the file of instruments, where there is one.
func kiteSource(f *config.Feed, store instruments.Store, log *slog.Logger) (dialect.Source, error) {
	file := kite.DecodeOptions(f.Options, ignore).Instruments
	if file == "" {
		return dialect.Listed(f, func(f *config.Feed) []shard.Wanted {
			wanted, _ := kiteWanted(f, nil, nil)
			return wanted
		}), nil
	}
	named := new(named)
	named.feed.Store(f)
	named.Instruments = instruments.New(instruments.Options{
		File: file, Store: store, Log: log,
		Without: func(last map[string]uint32, why error) (reading instruments.Reading) {
			reading.Wanted, reading.Tokens = kiteWanted(named.feed.Load(), kite.NoDump(why), last)
			return reading
		},
		Resolve: func(r io.Reader, last map[string]uint32) (reading instruments.Reading, err error) {
			dump, err := kite.ReadDump(r)
			if err != nil {
				return reading, err
			}
			reading.Wanted, reading.Tokens = kiteWanted(named.feed.Load(), dump, last)
			reading.Rows = dump.Len()
			return reading, nil
		},
	})
	return named, nil
}

// named is a Source of topics with names that a file of instruments explains.
type named struct {
	*instruments.Instruments
	feed atomic.Pointer[config.Feed] // what counts of it: the topics
}

func (n *named) Follow(f *config.Feed) {
	n.feed.Store(f)
	n.Others()
}

func (n *named) Reread() { n.Take() }

// kiteClaims are the topics of f that may have a subject, now or later: a list of instruments gives names other tokens each
// day, so such a topic has none here.
func kiteClaims(f *config.Feed) []shard.Wanted {
	wanted, _ := kiteWanted(f, nil, nil)
	return slices.DeleteFunc(wanted, func(w shard.Wanted) bool {
		i := w.Options.(kite.Instrument)
		return i.Problem != "" && i.Token != 0 // it has an instrument that is another one's: told by checkKite
	})
}

// kiteWanted resolves the topics of f. One that is listed under two names has them both; one with two spellings of a name is
// wanted once.
func kiteWanted(f *config.Feed, dump *kite.Dump, last map[string]uint32) (wanted []shard.Wanted, tokens map[string]uint32) {
	entries := make([]kite.Entry, len(f.Topics))
	for i, t := range f.Topics {
		entries[i] = kiteEntry(t)
	}
	topics, _ := kite.Resolve(entries, dump, last)
	at := make(map[shard.Topic]int, len(topics))
	for i, t := range topics {
		priority := f.Topics[i].Priority
		if first, ok := at[t.Name]; ok {
			wanted[first].Priority = max(wanted[first].Priority, priority)
			continue
		}
		at[t.Name] = len(wanted)
		wanted = append(wanted, shard.Wanted{Topic: t.Name, Priority: priority, Options: t.Options})
	}
	return wanted, kite.Tokens(topics)
}

// kiteMessages: each mode in a batch is subscribed to by itself, and then set unless it is the usual one.
func kiteMessages(batch []shard.Wanted) (n int) {
	seen := make(map[kite.Mode]bool)
	for _, w := range batch {
		i, _ := w.Options.(kite.Instrument)
		if seen[i.Mode] {
			continue
		}
		seen[i.Mode] = true
		n++
		if i.Mode != kite.Quote {
			n++
		}
	}
	return n
}
