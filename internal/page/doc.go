// Package page is the status page: what a person wants to see of a running daemon, in a browser.
//
//	/                                  everything; with one feed, its ledger too
//	/?feed=NAME                        the ledger of that feed
//	/?feed=NAME&state=S&q=WORD&page=N  … only topics in that state ("dark" too), whose name or subject holds WORD
//	/?feed=NAME&topic=NAME             one topic: quiet or broken?
//	/page/…                            style, script, icon
//
// The server renders all of it, from templates in the binary, so it is complete without script. The script asks for the
// same address once a second and puts in what changed: nothing is rendered in two places. What the figures mean is package
// diagnosis' to say. Whatever comes from outside (topics, reasons, errors) is escaped by html/template and made visible by
// [visible].
package page
