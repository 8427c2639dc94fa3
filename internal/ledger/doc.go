// Package ledger says of every wanted topic of a feed what is known of it, and announces what becomes of it: states, gaps,
// and what one run leaves to the next.
//
// The states of a topic in the ledger:
//
//	state      from                         because
//	unplaced   (new), any                   no slot has room, a more wanted topic took its place, or its turn is over
//	           refused                      an hour has passed, the credential changed, or it is wanted with other options
//	assigned   unplaced                     a slot has room for it
//	           asked, confirmed             its life ended
//	           asked                        a batch was refused as a whole, or the upstream failed: it is asked again
//	asked      assigned                     an ask was written
//	           confirmed                    it has other options, and was asked for anew
//	confirmed  assigned, asked              the upstream said yes, sent an event, or had nothing against it
//	refused    (new), any                   the upstream, or the protocol, said no
//
// Everything that can be seen of a pool (status, metrics, readiness, notices) is a view of its ledger. A Ledger belongs to
// one goroutine, starts none, and has no clock: whoever tells it something says what time it is.
package ledger
