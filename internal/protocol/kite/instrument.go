package kite

import (
	"errors"
	"fmt"
	"slices"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// Mode is how much the upstream tells of an instrument.
type Mode uint8

const (
	Quote Mode = iota // what a new subscription has
	LTP               // the last traded price and nothing else
	Full              // with times, open interest and market depth
)

var modeNames = [...]string{Quote: "quote", LTP: "ltp", Full: "full"}

func (m Mode) String() string { return modeNames[m] }

// ParseMode reads a mode as Kite spells it. "" is Quote.
func ParseMode(s string) (m Mode, ok bool) {
	if s == "" {
		return Quote, true
	}
	i := slices.Index(modeNames[:], s)
	return Mode(max(i, 0)), i >= 0
}

// Instrument is what a topic stands for: its Options.
type Instrument struct {
	Token   uint32 // 0: unknown, and Problem says why
	Mode    Mode
	Problem string // why it cannot be asked for, for people; "" if it can
	Was     uint32 // the token that the name stood for before, if that was another one; else 0
}

// instrumentOf is the instrument of a topic that can be asked for; else the zero value.
func instrumentOf(t protocol.Topic) (Instrument, error) {
	i, ok := t.Options.(Instrument)
	switch {
	case !ok:
		return Instrument{}, errors.New("no instrument is known for it")
	case i.Problem != "":
		return Instrument{}, errors.New(i.Problem)
	case i.Token == 0:
		return Instrument{}, errors.New("its instrument has no token")
	case i.Mode > Full:
		return Instrument{}, errors.New("its mode is unknown")
	}
	return i, nil
}

// sameAs says that a topic's instrument is another topic's already.
func sameAs(other shard.Topic, token uint32) string {
	return fmt.Sprintf("is the same instrument as %s (token %d)", other, token)
}

// Note is what people should know of a topic whose options become now where they were before: that another instrument goes
// by its name. before may be nil: then now says what it was. "": nothing, as when only the mode changed.
func Note(before, now any) string {
	i, _ := now.(Instrument)
	was := i.Was
	if b, ok := before.(Instrument); ok && b.Token != 0 {
		was = b.Token
	}
	if i.Token == 0 || was == 0 || was == i.Token {
		return ""
	}
	return fmt.Sprintf("the instruments file gives it token %d, where it was %d", i.Token, was)
}

// Segments that differ from the others. A token's lowest byte is its segment.
const (
	cds     = 3
	bcd     = 6
	indices = 9 // the last one
)

func segment(token uint32) uint8 { return uint8(token) }

// places is how many digits of a price, which travels as an integer, stand after the point.
func places(token uint32) int {
	switch segment(token) {
	case cds:
		return 7
	case bcd:
		return 4
	}
	return 2
}
