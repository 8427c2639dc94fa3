package config

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"feedmux/internal/config/marks"
)

// decoder turns the tree of one file into a Config. It is used once.
type decoder struct {
	file     string // as the caller named it
	dir      string // what relative names are relative to
	opts     LoadOptions
	lines    map[string]int    // of every path in the file
	written  map[string]string // strings that held a ${…}, by path, as they are in the file
	feeds    []*Feed           // every [[feed]], right or wrong
	problems Problems
}

// field is one key that a table may have.
type field struct {
	name     string
	required bool
	decode   decodeFunc
	table    []field // what the key's own table may have; without a decode it is decoded by this list alone
}

// decodeFunc puts the value v, which stands at the path at, where it belongs, or reports what is wrong with it.
type decodeFunc func(d *decoder, at string, v any)

// table decodes the table at the path at: every key must be among fields.
func (d *decoder) table(at string, tree map[string]any, fields []field) {
	for _, f := range fields {
		v, ok := tree[f.name]
		if !ok {
			if f.required {
				d.report(marks.Join(at, f.name), "is missing")
			}
			continue
		}
		d.field(marks.Join(at, f.name), v, f)
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			d.report(marks.Join(at, name), "unknown key%s", suggest(name, fields))
		}
	}
}

func (d *decoder) field(at string, v any, f field) {
	if _, unset := v.(unsetString); unset {
		return // reported when it was expanded
	}
	if f.decode != nil {
		f.decode(d, at, v)
		return
	}
	if tree, ok := v.(map[string]any); ok {
		d.table(at, tree, f.table)
		return
	}
	if _, ok := v.([]map[string]any); ok {
		d.report(at, "must be one table: its header has single brackets")
		return
	}
	d.wrongType(at, "a table", v)
}

// report tells a problem with the value at key, which is a path in the file.
func (d *decoder) report(key, format string, args ...any) {
	d.reportAt(d.place(key), format, args...)
}

func (d *decoder) reportAt(at Place, format string, args ...any) {
	d.problems = append(d.problems, Problem{at, fmt.Sprintf(format, args...)})
}

func (d *decoder) wrongType(at, want string, v any) {
	d.report(at, "must be %s, not %s", want, typeName(v))
}

// place finds key in the file, or else the innermost table that would hold it.
func (d *decoder) place(key string) Place {
	at := Place{File: d.file, Line: 1, Key: key}
	for path := key; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if line, ok := d.lines[path]; ok {
			at.Line = line
			break
		}
	}
	return at
}

// clean says that nothing is wrong so far with a key that begins with one of the paths.
func (d *decoder) clean(paths ...string) bool {
	return !slices.ContainsFunc(d.problems, func(p Problem) bool {
		return slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(p.Key, path) })
	})
}

// quote shows the string s, the value at the path at, without what could be secret in it.
func (d *decoder) quote(at, s string) string {
	const longest = 100
	if raw, ok := d.written[at]; ok {
		s = raw // the value itself may come from a variable
	}
	if strings.Contains(s, "://") {
		s = RedactURL(s)
	}
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return strconv.Quote(s)
}

// list is v as the elements of an array, of which arrays of tables are one kind.
func list(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []map[string]any:
		elements := make([]any, len(v))
		for i, e := range v {
			elements[i] = e
		}
		return elements, true
	}
	return nil, false
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	}
	return "an array"
}

// suggest guesses what was meant by an unknown key of a table: a key of that table with almost the same name, keys
// elsewhere with just this name, or a key of that table with nearly the same name.
func suggest(name string, fields []field) string {
	var meant []string
	least := min(3, len(name))
	for _, f := range fields {
		if n := distance(name, f.name); n < least {
			meant, least = []string{f.name}, n
		}
	}
	if least > 1 {
		var elsewhere []string
		for _, path := range knownKeys() {
			if strings.HasSuffix(path, "."+name) {
				elsewhere = append(elsewhere, path)
			}
		}
		if elsewhere != nil {
			meant = elsewhere
		}
	}
	if meant == nil {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", strings.Join(meant, " or "))
}

// knownKeys lists the path of every key that a file may have, as in feed.limits.connections, sorted.
func knownKeys() []string {
	var keys []string
	var add func(at string, fields []field)
	add = func(at string, fields []field) {
		for _, f := range fields {
			path := marks.Join(at, f.name)
			keys = append(keys, path)
			add(path, f.table)
		}
	}
	add("", rootFields(defaults()))
	sort.Strings(keys)
	return keys
}

// distance is how many bytes must be put in, taken out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the first i bytes of a to the first j of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
