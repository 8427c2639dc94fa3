package strict

import (
	"fmt"
	"sort"
	"strings"
)

// Place is where something stands: in a File, or else Key alone says it.
type Place struct {
	File string
	Line int    // from 1; 0: the whole file, or there is none
	Key  string // path of the key, as in feed[0].limits.connections; "" for a mistake in the syntax
}

func (p Place) String() string {
	switch {
	case p.File == "":
		return p.Key
	case p.Line == 0:
		return p.File
	case p.Key == "":
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Key)
}

// Problem is one thing that must be changed before the configuration can be used. It holds no secret.
type Problem struct {
	Place
	Message string
	More    int // problems that are not shown, of which this is the sum; 0: it is one itself
}

func (p Problem) String() string { return p.Place.String() + ": " + p.Message }

// Problems are all that is wrong with a configuration, in the order of its lines, the files that it names last. As an
// error they are one line each. Of each file they are a hundred at most, and of one that the configuration names twenty: it
// is then more often a wrong file than one with so many mistakes.
type Problems []Problem

// Count is how many there are, with those that are not shown.
func (ps Problems) Count() (n int) {
	for _, p := range ps {
		n += max(1, p.More)
	}
	return n
}

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Report tells a problem with the value at key. Where the file has no such key, the problem is placed at the table
// that would hold it.
type Report func(key, format string, args ...any)

// sortFrom orders the problems for reading, those of the file named main first.
func (ps Problems) sortFrom(main string) {
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := ps[i], ps[j]
		if a.File != b.File {
			return a.File == main || (b.File != main && a.File < b.File)
		}
		return a.More == 0 && (b.More != 0 || a.Line < b.Line)
	})
}
