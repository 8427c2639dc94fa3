// Package state keeps what must outlive the daemon: a directory of small files, each one JSON value.
//
// One process at a time has the directory. Its lock is the kernel's, so it ends with the process, however that ends.
//
// A file is replaced as a whole: the new content is written beside it, brought to the disk, and renamed. Whoever looks,
// also after a crash at any moment, finds the old value or the new one. After a loss of power the same holds, and once
// Save has returned without an error it is the new one, as far as the disk keeps its word about what it has written.
//
//	NAME          the value that Load reads
//	NAME.saving   the next one, while it is written; Open removes what a crash left
//	NAME.bad      what stood in NAME but could not be understood: the last one, for a person to look at
//	state.lock    locked by the process that has the directory; holds its process id
package state
