package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"feedmux/internal/config"
)

// Columns of an explanation, in characters: with the spaces between them they fill 100.
const (
	longestName  = len("  topics_per_connection")
	longestReach = len(config.NextLife)
	longestValue = 36
	longestFrom  = 100 - longestName - longestReach - longestValue - 3*len("  ")
)

// explain writes each value that counts, grouped as the file is.
func explain(w io.Writer, values []config.Value) error {
	if _, err := fmt.Fprintln(w, "Each value, when a reload makes another one count, and where it is from."); err != nil {
		return err
	}
	last := ""
	for _, v := range values {
		table, name := tableOf(v.Key)
		if table != last {
			last = table
			if _, err := fmt.Fprintf(w, "\n%s\n", table); err != nil {
				return err
			}
		}
		text := v.Text
		if text == "" {
			text = `""`
		}
		name, text = fill("  "+name, longestName), fill(begin(text, longestValue), longestValue)
		if _, err := fmt.Fprintf(w, "%s  %s  %-*s  %s\n", name, text, longestReach, v.Reach, end(v.From, longestFrom)); err != nil {
			return err
		}
	}
	return nil
}

// tableOf is the header that a key stands under, and its name there.
func tableOf(key string) (table, name string) {
	const options = ".options."
	cut := strings.LastIndexByte(key, '.')
	if strings.HasPrefix(key, "feed.") {
		if i := strings.Index(key, options); i >= 0 { // a name of the protocol's may have any form
			cut = i + len(options) - 1
		}
	}
	path, name := key[:cut], key[cut+1:]
	feed, ok := strings.CutPrefix(path, "feed.")
	if !ok {
		return "[" + path + "]", name
	}
	feed, below, ok := strings.Cut(feed, ".")
	if !ok {
		return "[[feed]] " + feed, name
	}
	return "[feed." + below + "] of " + feed, name
}

// fill puts spaces behind s until it has n characters.
func fill(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// begin is s, or its begin where it has more than n characters.
func begin(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// end is s, or its end where it has more than n characters.
func end(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return "…" + string(r[len(r)-n+1:])
	}
	return s
}
