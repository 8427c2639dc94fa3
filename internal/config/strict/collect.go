package strict

import (
	"fmt"
	"slices"
	"strings"
)

// How many problems are kept of the file that is decoded, and of one that it names.
const mostOfMain, mostOfNamed = 100, 20

// collection is problems as they are found.
type collection struct {
	first Problems
	found map[string]int  // how many, by the file
	keys  map[string]bool // of all of them
}

// longest is how long a message may be, in bytes: what it quotes may have any length.
const longest = 500

// add counts a problem. Its message is made if it is one of the first of its file.
func (c *collection) add(at Place, most int, message func() string) {
	if c.found == nil {
		c.found, c.keys = map[string]int{}, map[string]bool{}
	}
	c.found[at.File]++
	c.keys[at.Key] = true
	if c.found[at.File] > most {
		return
	}
	text := message()
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	c.first = append(c.first, Problem{Place: at, Message: text})
}

// all are those that are kept, and after those of a file how many more it has.
func (c *collection) all() Problems {
	all := slices.Clone(c.first)
	for file, n := range c.found {
		for _, p := range c.first {
			if p.File == file {
				n--
			}
		}
		if n > 0 {
			all = append(all, Problem{Place: Place{File: file}, More: n, Message: fmt.Sprintf("and %d more problems, which are not shown", n)})
		}
	}
	return all
}
