//go:build !race

package bubble

// Raced says that the race detector runs: long tests are shorter then.
const Raced = false
