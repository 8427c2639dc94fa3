// Package pool keeps the connections of one feed.
//
// Pool.Run owns what concerns the feed as a whole: which topics are wanted, which slot carries which (package shard
// decides), the ledger that says what is known of each, and the notices that follow from it. What one slot does is
// package conn's: the pool gives each its topics, whole, and hears what became of them.
//
// What is known of topics outlives the pool in a [Snapshot], so that the next one announces the time in between.
package pool
