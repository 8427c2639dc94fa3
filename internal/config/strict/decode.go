package strict

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"feedmux/internal/config/marks"
)

// Decoder decodes one file. It is used once.
type Decoder struct {
	file     string // as the caller named it
	dir      string // what relative names are relative to
	env      func(name string) (string, bool)
	root     []Field
	lines    map[string]int    // of every path in the file
	written  map[string]string // strings that held a ${…}, by path, as they are in the file
	problems collection
}

// New makes a Decoder for the file at path, which is not opened. env looks up environment variables.
func New(path string, env func(name string) (string, bool)) *Decoder {
	return &Decoder{file: path, dir: filepath.Dir(path), env: env, written: map[string]string{}}
}

// Decode decodes data, the content of the file, into what the fields of its root table say. It is false where data is
// no TOML: then this is the only problem, beside tables with a wrong name, which are perhaps why.
func (d *Decoder) Decode(data []byte, root []Field) bool {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	tree := map[string]any{}
	if _, err := toml.Decode(string(data), &tree); err != nil {
		line := 1
		var parse toml.ParseError
		if errors.As(err, &parse) {
			line, err = max(parse.Position.Line, 1), errors.New(parse.Message)
		}
		d.syntax(line, err)
		d.misspelled(data, root)
		return false
	}
	lines, twice, badLine, err := marks.Lines(data)
	if err != nil {
		d.syntax(badLine, err)
		return false
	}
	d.lines, d.root = lines, root
	for _, key := range twice {
		d.Report(key, "is defined twice")
	}
	d.expandTree("", tree)
	d.Table("", tree, root)
	return true
}

// quoted matches what the parsers may quote of a value: more than the character at which they stopped.
var quoted = regexp.MustCompile(`"[^"]{5,}"|'[^']{5,}'`)

// syntax tells the one problem of a file that cannot be read as TOML. What the parsers quote is left out unless it is a
// key: it may be a secret without its quotes, or the beginning of a string that goes wrong later.
func (d *Decoder) syntax(line int, err error) {
	text := err.Error()
	if !strings.HasPrefix(text, "Key ") {
		text = quoted.ReplaceAllString(text, "…")
	}
	d.ReportAt(Place{File: d.file, Line: line}, "%s", text)
}

// misspelled reports the unknown keys of the root of a file that the decoder refuses: [[feeds]] with a [feed.auth] below each is
// an error in the second [feed.auth].
func (d *Decoder) misspelled(data []byte, root []Field) {
	lines, _, _, err := marks.Lines(data)
	if err != nil {
		return
	}
	d.lines, d.root = lines, root
	told := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(lines)) {
		name := top(path)
		known := slices.ContainsFunc(root, func(f Field) bool { return f.Name == name })
		if !known && !told[name] && !strings.HasPrefix(name, `"`) {
			told[name] = true
			d.unknown("", name, root)
		}
	}
}

// unknown reports a key that is not among the fields of the table at the path at.
func (d *Decoder) unknown(at, name string, fields []Field) {
	d.Report(marks.Join(at, name), "unknown key%s", suggest(at, name, fields, d.root))
}

// Err is all that is wrong, as Problems in the order of reading, or nil. Of a file with a great many problems it has the first
// that were told, and how many more there are.
func (d *Decoder) Err() error {
	all := d.problems.all()
	if len(all) == 0 {
		return nil
	}
	all.sortFrom(d.file)
	return all
}

// Field is one key that a table may have.
type Field struct {
	Name     string
	Required bool
	Kind
	Table []Field // what the key's own table may have; without a Decode it is decoded by this list alone
	Reach Reach   // of a value
}

// Reach is when a changed value counts, in the caller's words.
type Reach string

// DecodeFunc puts the value v, which stands at the path at, where it belongs, or reports what is wrong with it.
type DecodeFunc func(d *Decoder, at string, v any)

// Table decodes the table at the path at: every key must be among fields.
func (d *Decoder) Table(at string, tree map[string]any, fields []Field) {
	for _, f := range fields {
		v, ok := tree[f.Name]
		if !ok {
			if f.Required {
				d.Report(marks.Join(at, f.Name), "is missing")
			}
			continue
		}
		d.Value(marks.Join(at, f.Name), v, f)
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name }) {
			d.unknown(at, name, fields)
		}
	}
}

// Value decodes the value v at the path at, of which f says what it may be.
func (d *Decoder) Value(at string, v any, f Field) {
	if _, unset := v.(unsetString); unset {
		return // reported when it was expanded
	}
	if f.Decode != nil {
		f.Decode(d, at, v)
		return
	}
	if tree, ok := v.(map[string]any); ok {
		d.Table(at, tree, f.Table)
		return
	}
	if _, ok := v.([]map[string]any); ok {
		d.Report(at, "must be one table: its header has single brackets")
		return
	}
	d.WrongType(at, "a table", v)
}

// Report tells a problem with the value at key, which is a path in the file.
func (d *Decoder) Report(key, format string, args ...any) {
	d.ReportAt(d.PlaceOf(key), format, args...)
}

// ReportAt tells a problem at a place that is known.
func (d *Decoder) ReportAt(at Place, format string, args ...any) {
	most := mostOfNamed
	if at.File == d.file {
		most = mostOfMain
	}
	d.problems.add(at, most, func() string { return fmt.Sprintf(format, args...) })
}

// WrongType tells that the value at the path at, v, is not what is wanted, as "a string".
func (d *Decoder) WrongType(at, want string, v any) {
	d.Report(at, "must be %s, not %s", want, typeName(v))
}

// PlaceOf finds key in the file, or else the innermost table that would hold it.
func (d *Decoder) PlaceOf(key string) Place {
	at := Place{File: d.file, Line: 1, Key: key}
	for path := key; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if line, ok := d.lines[path]; ok {
			at.Line = line
			break
		}
	}
	return at
}

// Clean says that nothing is wrong so far with a key that begins with one of the paths.
func (d *Decoder) Clean(paths ...string) bool {
	for key := range d.problems.keys {
		if slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(key, path) }) {
			return false
		}
	}
	return true
}

// Told is the keys that something is wrong with.
type Told []string

// Told is those of which something was reported so far.
func (d *Decoder) Told() Told { return slices.Collect(maps.Keys(d.problems.keys)) }

// Concern says that something is wrong with key, with a part of it, or with what it is a part of.
func (t Told) Concern(key string) bool {
	return slices.ContainsFunc(t, func(told string) bool { return isPart(told, key) || isPart(key, told) })
}

// isPart says that key is whole or below it.
func isPart(key, whole string) bool {
	rest, ok := strings.CutPrefix(key, whole)
	return ok && whole != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Has says that the file has the key.
func (d *Decoder) Has(key string) bool {
	_, ok := d.lines[key]
	return ok
}

// Quote shows the string s, the value at the path at, without what could be secret in it.
func (d *Decoder) Quote(at, s string) string {
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

// List is v as the elements of an array, of which arrays of tables are one kind.
func List(v any) ([]any, bool) {
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
	case nil: // JSON has it
		return "null"
	}
	return "an array"
}
