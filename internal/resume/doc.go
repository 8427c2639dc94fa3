// Package resume brings a stream that its upstream keeps for a while, whole and in order, though connections come and go.
//
// A feed has one Stream. Its one connection at a time tells it live events (Heard); Run, one goroutine with one request at a
// time, fetches what came after a position. Both hand events to the Taker under the one lock, which is never held while
// anything waits: Heard copies what it cannot hand over, and Run tries again until there is room.
//
// The cursor is the highest position that was brought. What came after it is to be fetched whenever a number named demand
// grows, and until a last page was handed over that was asked for since. What a live event does meanwhile:
//
//	state     a live event is  because                                 until
//	straight  handed over      nothing is to be fetched or waits       the Taker has no room; a life opens; NATS lost some
//	held      kept, bounded    a life opened, or is live just now      the demand is met, then all that is held was handed over
//	                           the Taker has no room                   the same, and there is nothing to fetch
//	left out  not kept         there is no room to hold it             the pages are through: then held, and they are read anew
//	suspect   held             it is at or below the cursor, though    the upstream's history is known to reach up to the cursor
//	                           nothing above it came in this life      (a late event), or not (rebuilt: the cursor is set back)
//
// A life that had caught up, and for half a minute waits for what is to be fetched, has not caught up any more (State.Behind):
// its topics are as dark as if the line had been cut.
//
// Without a life what is held is handed over too, and after a while the upstream is polled. Events are told apart by id,
// and by position where they have none. One that is below the cursor and unknown is late: it is handed over, or fetched,
// and the cursor stays.
//
// The saved position is the highest up to which NATS is known to have everything (trail). What NATS may have lost is
// fetched once more. A late event that is below the saved position already is the only one that a crash can lose.
package resume
