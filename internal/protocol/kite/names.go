package kite

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// Entry is a topic as a user writes it: an instrument's token, or with a dump its name, EXCHANGE:SYMBOL.
type Entry struct {
	Topic string
	Mode  string // "" is quote
	Name  string // what a token is to be called; "": as in Topic
}

// Label is the topic's name: what the user calls it.
func (e Entry) Label() shard.Topic {
	if e.Name != "" {
		return shard.Topic(e.Name)
	}
	return shard.Topic(e.Topic)
}

// Check reports all that is wrong with an entry: with the keys topic, mode and name. dump says that there is an instruments
// file.
func (e Entry) Check(dump bool, report func(key, format string, args ...any)) {
	_, isToken := parseToken(e.Topic)
	if !isToken {
		if err := checkName(e.Topic); err != nil {
			report("topic", "%.100q must be an instrument's token, from 1 to 4294967295, or its name: %v%s", e.Topic, err, suggest(e.Topic))
		} else if !dump {
			report("topic", "%s is a name: it needs options.instruments, or write the instrument's token", e.Topic)
		}
	}
	if _, ok := ParseMode(e.Mode); !ok {
		guess := ""
		if m, ok := ParseMode(strings.ToLower(strings.TrimSpace(e.Mode))); ok {
			guess = fmt.Sprintf("; did you mean %s?", m)
		}
		report("mode", "%.100q must be ltp, quote or full%s", e.Mode, guess)
	}
	if e.Name == "" {
		return
	}
	if err := checkName(e.Name); err != nil {
		report("name", "%.100q: %v%s", e.Name, err, suggest(e.Name))
	} else if !isToken {
		report("name", "%q goes with a token only: the topic has a name already", e.Name)
	}
}

// suggest guesses what was meant by a bad name, with the words for it; "": nothing is near.
func suggest(name string) string {
	exchange, symbol, ok := strings.Cut(strings.TrimSpace(name), ":")
	if !ok {
		exchange, symbol, ok = strings.Cut(strings.TrimSpace(name), "/")
	}
	meant := strings.TrimSpace(exchange) + ":" + strings.TrimSpace(symbol)
	if !ok || meant == name || checkName(meant) != nil {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", meant)
}

// parseToken reads a token: in one spelling only, so that a topic has one name.
func parseToken(s string) (token uint32, ok bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && s[0] != '0'
}

// longestName is the longest name of an instrument, in bytes. The real ones have up to about 40.
const longestName = 100

// checkName says why s cannot be EXCHANGE:SYMBOL. Symbols may have spaces: NSE:NIFTY 50.
func checkName(s string) error {
	exchange, symbol, _ := strings.Cut(s, ":")
	if exchange == "" || symbol == "" || strings.TrimSpace(exchange) != exchange || strings.TrimSpace(symbol) != symbol {
		return errors.New("a name is EXCHANGE:SYMBOL, as in NSE:INFY")
	}
	if len(s) > longestName {
		return fmt.Errorf("a name has at most %d bytes, not %d", longestName, len(s))
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return fmt.Errorf("a name is printable ASCII, but byte %d is %q", i+1, s[i])
		}
	}
	return nil
}

// Conflict is two entries that cannot both be meant. The first one counts.
type Conflict struct {
	First, Second int // where they are in the list
	Text          string
}

// Resolve makes a topic of each entry that Check found good, in order. Where there is no instrument for one, or an earlier
// one has it, the topic's Problem says so.
//
// dump may be nil: there is none. Without one, or with NoDump, a name stands for what it stood for last. last has the tokens
// that names stood for before; see Tokens. It may be nil.
func Resolve(entries []Entry, dump *Dump, last map[string]uint32) (topics []protocol.Topic, conflicts []Conflict) {
	byName := make(map[shard.Topic]int, len(entries))
	byToken := make(map[uint32]int, len(entries))
	topics = make([]protocol.Topic, len(entries))
	for i, e := range entries {
		label, in := e.Label(), e.instrument(dump, last)
		first, listed := byName[label]
		if listed { // it can have one instrument only
			before := topics[first].Options.(Instrument)
			topics[i] = topics[first]
			if difference := before.difference(in); difference != "" {
				conflicts = append(conflicts, Conflict{first, i, fmt.Sprintf("%s is listed twice, %s", label, difference)})
			}
			continue
		}
		byName[label] = i
		if in.Problem == "" {
			if first, taken := byToken[in.Token]; taken {
				in.Problem = sameAs(topics[first].Name, in.Token)
				conflicts = append(conflicts, Conflict{first, i, fmt.Sprintf("%s %s", label, in.Problem)})
			} else {
				byToken[in.Token] = i
			}
		}
		topics[i] = protocol.Topic{Name: label, Options: in}
	}
	return topics, conflicts
}

// instrument is what an entry stands for by itself.
func (e Entry) instrument(dump *Dump, last map[string]uint32) (in Instrument) {
	in.Mode, _ = ParseMode(e.Mode)
	if token, ok := parseToken(e.Topic); ok {
		in.Token = token
		return in
	}
	was := last[e.Topic]
	if dump == nil || dump.err != nil {
		if in.Token = was; was == 0 {
			in.Problem = "there is no instruments file to look it up in"
			if dump != nil {
				in.Problem = fmt.Sprintf("there is no good instruments file to look it up in: %v", dump.err)
			}
		}
		return in
	}
	in.Token, in.Problem = dump.find(shard.Topic(e.Topic))
	if in.Token != 0 && in.Token != was {
		in.Was = was
	}
	return in
}

// difference says what a second entry of the same name wants otherwise.
func (i Instrument) difference(other Instrument) string {
	switch {
	case i.Token != other.Token && i.Token != 0 && other.Token != 0:
		return fmt.Sprintf("for the tokens %d and %d", i.Token, other.Token)
	case i.Mode != other.Mode:
		return fmt.Sprintf("with the modes %s and %s", i.Mode, other.Mode)
	}
	return ""
}

// Tokens are the tokens that topics stand for now, by name, as far as they are known: what Resolve wants to know next time.
func Tokens(topics []protocol.Topic) map[string]uint32 {
	tokens := make(map[string]uint32, len(topics))
	for _, t := range topics {
		if i, _ := t.Options.(Instrument); i.Token != 0 {
			tokens[string(t.Name)] = i.Token
		}
	}
	return tokens
}
