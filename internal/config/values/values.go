// Package values is what a configuration says key by key, for people and for programs, and how two of them differ.
package values

import "feedmux/internal/config/strict"

// Reach is when a changed value counts, once a daemon that runs has read the file again.
type Reach = strict.Reach

const (
	Now      Reach = "now"
	NextLife Reach = "next life" // for connections that are dialled from then on
	Restart  Reach = "restart"
)

// Value is what counts for one key.
type Value struct {
	Key   string `json:"key"`   // as in config.Keys, with the feed's name or the account's: feed.twitch.ping.interval
	Text  string `json:"value"` // as in the file, without quotes; it shows no secret
	From  string `json:"from"`  // config.toml:12, with the variables before it; default; default of PROTOCOL; [account.NAME]
	Reach Reach  `json:"reach"`
	Exact string `json:"-"` // Text with its secrets, to be compared alone
}

// Change is one key of which two configurations say different things.
type Change struct {
	Key   string `json:"key"` // as Value has it; feed.NAME and account.NAME alone: all of it came or went
	Reach Reach  `json:"reach"`
	Old   string `json:"old"` // as Value.Text; "" where there was nothing
	New   string `json:"new"`
}
