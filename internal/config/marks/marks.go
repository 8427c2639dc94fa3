// Package marks finds the line of every key in a TOML file, which the decoder does not tell, and the keys that are defined
// twice, of which the decoder misses some.
//
// Keys go by their paths, as in feed[0].topics[3]: the tables and the key joined by dots, an element of an array by its
// index. A key that could be mistaken for a path is quoted.
package marks

import (
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// marker walks over the syntax of a TOML file and marks the path of everything that it passes.
type marker struct {
	parser unstable.Parser
	breaks []int           // offsets of the line breaks
	lines  map[string]int  // by path: where a key, a table or an element of an array begins
	values map[string]bool // paths with a value, as against a table that a header or a dotted key made
	tables map[string]int  // elements so far, by the path of an array of tables
	twice  []string        // paths with a second value
}

// Lines returns the line of every path in data, and the paths that have a value twice: the TOML decoder would drop some
// of these values silently. An error is one of syntax, at badLine.
func Lines(data []byte) (lines map[string]int, twice []string, badLine int, err error) {
	m := &marker{lines: map[string]int{}, values: map[string]bool{}, tables: map[string]int{}}
	for i, c := range data {
		if c == '\n' {
			m.breaks = append(m.breaks, i)
		}
	}
	m.parser.Reset(data)
	table := "" // the table that keys belong to at this point of the file
	for m.parser.NextExpression() {
		switch node := m.parser.Expression(); node.Kind {
		case unstable.Table:
			table = m.header(node, false)
		case unstable.ArrayTable:
			table = m.header(node, true)
		case unstable.KeyValue:
			m.keyValue(table, node)
		}
	}
	if err := m.parser.Error(); err != nil {
		badLine = 1
		var detail *unstable.ParserError
		if errors.As(err, &detail) {
			badLine = m.line(m.parser.Range(detail.Highlight))
		}
		return nil, nil, badLine, err
	}
	return m.lines, m.twice, 0, nil
}

// header marks the tables of [a.b] or [[a.b]] and returns the path of the last one.
func (m *marker) header(node *unstable.Node, array bool) string {
	path := ""
	for keys := node.Key(); keys.Next(); {
		key := keys.Node()
		path = Join(path, string(key.Data))
		line := m.line(key.Raw)
		switch {
		case array && keys.IsLast():
			m.implicit(path, line)
			m.tables[path]++
			path = Index(path, m.tables[path]-1)
		case m.tables[path] > 0:
			path = Index(path, m.tables[path]-1)
		}
		if keys.IsLast() {
			m.lines[path] = line // a table that was only implied until now is better found here
		} else {
			m.implicit(path, line)
		}
	}
	return path
}

// keyValue marks a key and what its value holds.
func (m *marker) keyValue(table string, node *unstable.Node) {
	path := table
	for keys := node.Key(); keys.Next(); {
		key := keys.Node()
		path = Join(path, string(key.Data))
		line := m.line(key.Raw)
		if !keys.IsLast() {
			if m.values[path] {
				m.twice = append(m.twice, path)
			}
			m.implicit(path, line)
			continue
		}
		if _, ok := m.lines[path]; ok {
			m.twice = append(m.twice, path)
		}
		m.lines[path], m.values[path] = line, true
		m.value(path, line, node.Value())
	}
}

// value marks what is inside the value at path: the elements of an array, the keys of an inline table.
func (m *marker) value(path string, line int, node *unstable.Node) {
	switch node.Kind {
	case unstable.Array:
		i := 0
		for elements := node.Children(); elements.Next(); i++ {
			element, at := elements.Node(), line
			if element.Raw.Length > 0 { // not so for an array in an array
				at = m.line(element.Raw)
			}
			inside := Index(path, i)
			m.lines[inside], m.values[inside] = at, true
			m.value(inside, at, element)
		}
	case unstable.InlineTable:
		for pairs := node.Children(); pairs.Next(); {
			m.keyValue(path, pairs.Node())
		}
	}
}

func (m *marker) implicit(path string, line int) {
	if _, ok := m.lines[path]; !ok {
		m.lines[path] = line
	}
}

func (m *marker) line(r unstable.Range) int { return 1 + sort.SearchInts(m.breaks, int(r.Offset)) }

// Join is the path of a key in the table at path. A key that could be mistaken for a path is quoted.
func Join(path, key string) string {
	const bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	if key == "" || strings.Trim(key, bare) != "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of an element of the array at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
