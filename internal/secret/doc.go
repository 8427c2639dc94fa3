// Package secret reads a secret that a file or an environment variable holds, and notices when it changes.
//
// What is there may be missing, empty or half written for a while: the last good value goes on counting until there is
// another good one. A secret never stands in an error; names of files and variables may.
//
// Files change in several ways: written in place, replaced by a rename, or through a symbolic link, on the way to them,
// that is pointed elsewhere (as Kubernetes does with the volumes of secrets). A watch on the file itself would stay with
// the file that was replaced. So Watch watches the directories in which one of these things would happen, waits until
// there is rest, and then reads. And it polls, since there are file systems that tell nothing, systems on which all
// watches are taken, and directories that come later.
package secret
