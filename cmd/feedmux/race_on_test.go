//go:build race

package main

// underRace says that the race detector runs: what measures is left out then.
const underRace = true
