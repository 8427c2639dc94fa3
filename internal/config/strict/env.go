package strict

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"feedmux/internal/config/marks"
)

// unsetString stands in the tree for a string that could not be expanded, so that it is not held against a field: its
// one problem is told.
type unsetString struct{}

// expandTree expands the strings in tree, which stands at the path at.
func (d *Decoder) expandTree(at string, tree map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		tree[key] = d.expandValue(marks.Join(at, key), tree[key])
	}
}

// expandValue returns v with its strings expanded. Tables and arrays are changed where they are.
func (d *Decoder) expandValue(at string, v any) any {
	switch v := v.(type) {
	case string:
		return d.expandString(at, v)
	case map[string]any:
		d.expandTree(at, v)
	case []any:
		for i := range v {
			v[i] = d.expandValue(marks.Index(at, i), v[i])
		}
	case []map[string]any:
		for i := range v {
			d.expandTree(marks.Index(at, i), v[i])
		}
	}
	return v
}

// expandString replaces each ${NAME} in s by the environment variable, and each $${ by ${. What a variable holds is
// not expanded again.
func (d *Decoder) expandString(at, s string) any {
	if !strings.Contains(s, "${") {
		return s
	}
	var out strings.Builder
	right, rest := true, s
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			break
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		name, tail, closed := strings.Cut(after, "}")
		if !closed || !IsVariable(name) {
			d.Report(at, "${ must be followed by the name of an environment variable and }; a plain ${ is written $${")
			return unsetString{}
		}
		value, set := d.env(name)
		if !set {
			d.Report(at, "the environment variable %s is not set", name)
			right = false
		}
		out.WriteString(value)
		rest = tail
	}
	if !right {
		return unsetString{}
	}
	d.written[at] = s
	return out.String()
}

// reference matches a variable in a string.
var reference = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsVariable says that name can be the name of an environment variable.
func IsVariable(name string) bool { return variable.MatchString(name) }
