//go:build race

package bubble

import "runtime"

// Raced says that the race detector runs: long tests are shorter then.
const Raced = true

func init() { runtime.GOMAXPROCS(1) }
