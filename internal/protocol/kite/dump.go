package kite

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"

	"feedmux/shard"
)

// Dump leads from names to tokens, as Kite's instruments file does. It does not change; any goroutine may read it.
type Dump struct {
	tokens map[string]uint32 // by EXCHANGE:SYMBOL

	// others holds a second token that the file gives to a name. Neither of the two is right for certain, and one name is
	// no reason to do without all others: such a name leads nowhere.
	others map[string]uint32

	err error // why there is nothing else here
}

// NoDump stands for an instruments file that cannot be had now, and says why.
func NoDump(why error) *Dump { return &Dump{err: why} }

// ReadDump reads the instruments file, a CSV whose first line names its columns. Rows that no topic could name are left out.
// Whatever else is wrong, such as an end in the middle of a line, is an error: half a file would be worse than the one
// before. The caller sees to it that r does not go on for ever.
func ReadDump(r io.Reader) (*Dump, error) {
	end := &lastByte{Reader: r}
	buffered := bufio.NewReaderSize(end, 64<<10)
	if mark, _ := buffered.Peek(3); string(mark) == "\ufeff" {
		buffered.Discard(3) // left by a program that edited the file
	}
	d, err := readRows(csv.NewReader(buffered))
	if err == nil && end.byte != '\n' { // the last column may be half a word, and nothing else would show it
		err = errors.New("its last line does not end: the file is not whole")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the instruments file: %w", err)
	}
	return d, nil
}

// lastByte remembers the last byte that it read.
type lastByte struct {
	io.Reader
	byte byte
}

func (l *lastByte) Read(p []byte) (n int, err error) {
	if n, err = l.Reader.Read(p); n > 0 {
		l.byte = p[n-1]
	}
	return n, err
}

func readRows(rows *csv.Reader) (*Dump, error) {
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, err
	}
	var columns [3]int
	for i, name := range [...]string{"instrument_token", "exchange", "tradingsymbol"} {
		if columns[i] = slices.Index(header, name); columns[i] < 0 {
			return nil, fmt.Errorf("line 1: there is no column %s", name)
		}
	}
	d := &Dump{tokens: make(map[string]uint32), others: make(map[string]uint32)}
	for n := 0; ; n++ {
		row, err := rows.Read()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil, errors.New("it has no rows")
		case errors.Is(err, io.EOF):
			return d, nil
		case err != nil:
			return nil, err // it names the line
		}
		token, ok := parseToken(row[columns[0]])
		if !ok {
			line, _ := rows.FieldPos(columns[0])
			return nil, fmt.Errorf("line %d: %.20q is no instrument_token", line, row[columns[0]])
		}
		d.add(row[columns[1]]+":"+row[columns[2]], token)
	}
}

func (d *Dump) add(name string, token uint32) {
	if checkName(name) != nil {
		return
	}
	if first, ok := d.tokens[name]; !ok {
		d.tokens[name] = token
	} else if first != token {
		d.others[name] = token
	}
}

// Len is how many names lead to a token.
func (d *Dump) Len() int { return len(d.tokens) - len(d.others) }

// find is the token of a name; 0 and why if there is none.
func (d *Dump) find(name shard.Topic) (token uint32, problem string) {
	token, ok := d.tokens[string(name)]
	if !ok {
		return 0, fmt.Sprintf("%s is not in the instruments file", name)
	}
	if other := d.others[string(name)]; other != 0 {
		return 0, fmt.Sprintf("the instruments file has two tokens for %s, %d and %d: ask for the one you mean", name, token, other)
	}
	return token, ""
}
