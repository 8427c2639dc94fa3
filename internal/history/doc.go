// Package history remembers the last hour of every feed: how many events came and went on, and what went wrong, in
// steps of five seconds.
//
// It samples counters that only grow and keeps their differences, so it costs nobody anything between two samples, and an
// incident is known as exactly as the samples lie apart. Each feed has a ring of fixed size, about 62 KiB, plus 40 bytes for each
// cause in each step in which something went wrong: ten feeds take less than a megabyte as a rule. A feed that is gone is forgotten.
package history
