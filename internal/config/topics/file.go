package topics

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"feedmux/internal/config/strict"
	"feedmux/internal/regular"
)

var commentStart = regexp.MustCompile(`(^|\s)#`)

// maxFile is the longest file, in bytes: over a million topics.
const maxFile = 64 * strict.MiB

// Read reads a file of topics: one a line, without the spaces around it. A # at the beginning or after a space begins a
// comment. A file without topics is right: something else may fill it later. Their Places have no Key.
func Read(path string) ([]Topic, error) {
	data, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	var topics []Topic
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		n++
		if strings.Contains(line, "#") { // else it need not be looked at with care, which takes longer than all the rest
			if comment := commentStart.FindStringIndex(line); comment != nil {
				line = line[:comment[0]]
			}
		}
		if name := strings.TrimSpace(line); name != "" {
			topics = append(topics, Topic{Name: name, Place: strict.Place{File: path, Line: n}})
		}
	}
	return topics, nil
}
