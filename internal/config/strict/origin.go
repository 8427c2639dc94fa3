package strict

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Origin says where the file has the value at key: its name without the folder and the line, and before them the variables
// that the value was made of. "": the file has no such key.
func (d *Decoder) Origin(key string) string {
	line, ok := d.lines[key]
	if !ok {
		return ""
	}
	var variables []string
	for at, raw := range d.written {
		if isPart(at, key) {
			for _, m := range reference.FindAllString(raw, -1) {
				if !slices.Contains(variables, m) {
					variables = append(variables, m)
				}
			}
		}
	}
	slices.Sort(variables)
	return strings.Join(append(variables, fmt.Sprintf("%s:%d", filepath.Base(d.file), line)), " ")
}

// Expanded says that a part of the value at key came from a variable.
func (d *Decoder) Expanded(key string) bool {
	for at := range d.written {
		if isPart(at, key) {
			return true
		}
	}
	return false
}

// Again is a Decoder of the same file, of which nothing is wrong yet: for checks that are made later.
func (d *Decoder) Again() *Decoder {
	again := *d
	again.problems = collection{}
	return &again
}
