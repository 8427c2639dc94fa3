// Package config reads the daemon's TOML file into a Config in which every figure is filled in and within its range.
//
// Reading is strict, and a file with mistakes gets all of them told at once: see Problems. It goes in these steps:
//
//	fields     the file is held against the list of all keys (schema.go) by package strict, which knows nothing of feeds;
//	           feeds with their topics and their topics_file (feed.go, package topics); what goes together in [nats] (nats.go)
//	accounts   what feeds share is divided among them (account.go), and only then it is known what has room in each
//	checks     the feed's protocol checks topics and options; feeds that the upstream counts together must say so; then
//	           the caller checks feeds against each other (load.go)
//
// A protocol looks at all that can be read of its feeds, so that a file gets all its problems told at once. What is held
// against other feeds are those whose name, protocol, URL, subject, topics and options are good so far. The package knows no
// protocol: what it must know of each is handed in.
//
// A Config can say where each of its values is from (values.go), how it differs from another one, and what it is with other
// topics, which a daemon that runs may be given (again.go).
//
// A file or variable that holds a secret is not read here, and its absence is no problem. Certificates of authorities are.
package config
