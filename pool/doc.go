// Package pool keeps the connections of one feed.
//
// Pool.Run owns what concerns the feed as a whole: which topics are wanted, which slot carries which (package shard
// decides), the ledger that says what is known of each, and the notices that follow from it. What one slot does is
// package conn's: the pool gives each its topics, whole, and hears what became of them.
//
// The states of a topic in the ledger:
//
//	state      from                         because
//	unplaced   (new), any                   no slot has room, or a more wanted topic took its place
//	           refused                      an hour has passed: it may have a place again
//	assigned   unplaced                     a slot has room for it
//	           asked, confirmed             its life ended
//	           asked                        a batch was refused as a whole, or the upstream failed: it is asked again
//	asked      assigned                     an ask was written
//	confirmed  asked                        the upstream said yes, or sent an event
//	refused    (new), asked, confirmed      the upstream, or the protocol, said no
//
// Everything that can be seen of a pool (Status, metrics, readiness, notices) is a view of the ledger.
package pool
