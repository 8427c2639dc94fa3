// Package topics is topics as people write them: in the configuration, in a file with one a line, or in a request to a daemon
// that runs. It reads them, strictly, and makes one list of several.
package topics
