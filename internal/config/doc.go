// Package config reads the daemon's TOML file into a Config in which every figure is filled in and within its range.
//
// Reading is strict, and a file with mistakes gets all of them told at once, each with its line and the path of its
// key: see Problems. It goes in these steps:
//
//	syntax    BurntSushi/toml makes a tree of the file; a second pass over the syntax finds the line of every key
//	          (package marks)
//	env       ${NAME} in strings is replaced by environment variables (env.go)
//	fields    each table of the tree is held against the list of the fields that it may have: its name, where the
//	          value goes, what it must look like (schema.go, kinds.go). What is not in a list is an unknown key
//	feeds     what concerns several keys of a feed, and its topics_file (feed.go)
//	checks    the feed's protocol checks topics and options, then the caller checks feeds against each other
//
// The checks look at each feed whose name, protocol, URL, subject, topics and options are good so far. The package knows
// no protocol: what it must know of each is handed in.
//
// Secrets: a bad value is shown as the file has it, so without what a variable holds, and a URL without user, password
// and query. A file or variable that holds a secret is not read here, and its absence is no problem.
package config
