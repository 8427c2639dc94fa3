// Package lookout notices that what is read from a file may have changed.
//
// Files change in several ways: written in place, replaced by a rename, or through a symbolic link, on the way to them,
// that is pointed elsewhere (as Kubernetes does with the volumes of secrets). A watch on the file itself would stay with
// the file that was replaced. So Watch watches the directories in which one of these things would happen, waits until
// there is rest, and then has the file read. And it polls, since there are file systems that tell nothing, systems on
// which all watches are taken, and directories that come later.
package lookout
