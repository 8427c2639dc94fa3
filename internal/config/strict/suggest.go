package strict

import (
	"fmt"
	"slices"
	"strings"

	"feedmux/internal/config/marks"
)

// suggest guesses what was meant by an unknown key of the table at the path at: a key of that table that has almost the
// same name or ends with it; keys elsewhere with just this name, of the same table of the root if there are such; or a
// key of that table with nearly the same name.
func suggest(at, name string, fields, root []Field) string {
	var meant []string
	least := min(3, len(name))
	for _, f := range fields {
		n := distance(name, f.Name)
		if strings.HasSuffix(f.Name, "_"+name) {
			n = 1
		}
		if n < least {
			meant, least = []string{f.Name}, n
		}
	}
	if least > 1 {
		var elsewhere []string
		for _, path := range Keys(root) {
			if strings.HasSuffix(path, "."+name) {
				elsewhere = append(elsewhere, path)
			}
		}
		far := func(path string) bool { return top(path) != top(at) }
		if near := slices.DeleteFunc(slices.Clone(elsewhere), far); len(near) > 0 {
			elsewhere = near
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

// top is the key of the root table that a path begins with.
func top(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

// Keys lists the path of every key that a file with these fields in its root may have, as in feed.limits.connections,
// sorted.
func Keys(root []Field) []string {
	var keys []string
	var add func(at string, fields []Field)
	add = func(at string, fields []Field) {
		for _, f := range fields {
			path := marks.Join(at, f.Name)
			keys = append(keys, path)
			add(path, f.Table)
		}
	}
	add("", root)
	slices.Sort(keys)
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
