// Package tap lets somebody look on at the events that go to NATS, without holding them up.
//
// The publisher offers each event to a [Tap]. While nobody looks on that costs one atomic load. Who does has a [Stream],
// which copies the events of the topics it asked for into a bounded buffer; what finds no room there is left out and
// counted, so a slow reader loses events and nobody else notices.
package tap
