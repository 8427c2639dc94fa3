// Package secret gets a secret from a file, an environment variable or a command, and notices when it changes.
//
// What is there may be missing, empty or half written for a while, and a command may fail: the last good value goes on
// counting until there is another good one. A secret never stands in an error, nor does anything else that a command
// printed or was called with; names of files, variables and commands may.
//
// A file and a variable are read each time that somebody wants the value. A command may take long and cost something, so
// its value is kept. It is run at the beginning, some time before its value expires, when the upstream refused the value,
// and when people ask for it; while it fails, after pauses that grow. Nobody who dials waits for it, but for the first value.
//
// How a change of a file is noticed is package lookout's.
package secret
