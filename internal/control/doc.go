// Package control answers questions about a running daemon over HTTP, and changes nothing.
//
//	/             the status page for a browser (Options.Page); for others the paths below, in words
//	/api/status   what is going on, as JSON; ?feed=NAME for one feed, &topic=NAME for one topic of it, ?ledger=1 with every topic
//	/metrics      for Prometheus
//	/healthz      200 while every loop turns, else 503 and which does not
//	/readyz       200 once every feed has enough of its topics confirmed, else 503 and how far it is
//
// Nothing is kept between requests: each asks the loops of feeds and delivery, all at once and for at most two seconds,
// and shows what they say. So a page never shows a moment that no loop was in, nobody pays for figures that nobody reads,
// and a loop that no longer turns is noticed by whoever asks.
//
// The server is meant for loopback and for trusted networks. It answers GET and HEAD only, and only where the request
// names a host that it was told of: a web page that a browser loaded from elsewhere cannot read it by pointing its own
// name at this address.
package control
