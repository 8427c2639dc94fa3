package console

import (
	"time"

	"feedmux/internal/diagnosis"
)

// Report is what pages show.
type Report = diagnosis.Report

// Read reads the body of /api/status as it was at that time.
func Read(body []byte, at time.Time) (*Report, error) { return diagnosis.Read(body, at) }

// Sections lists the headings of docs/troubleshooting.md that pages refer to.
func Sections() []string { return diagnosis.Sections() }

// Count writes n with a comma at each thousand.
func Count[T int | int64 | uint64](n T) string { return diagnosis.Count(n) }

// Counted is n things.
func Counted[T int | uint64](n T, thing string) string { return diagnosis.Counted(n, thing) }
