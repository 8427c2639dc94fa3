//go:build race

package pool

// underRace says that the race detector runs: long tests are shorter then.
const underRace = true
