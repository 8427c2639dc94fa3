// Package secret reads a secret that a file or an environment variable holds, and notices when it changes.
//
// What is there may be missing, empty or half written for a while: the last good value goes on counting until there is
// another good one. A secret never stands in an error; names of files and variables may. How a change of the file is
// noticed is package lookout's.
package secret
