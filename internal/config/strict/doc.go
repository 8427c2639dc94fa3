// Package strict decodes a TOML file against lists of the fields that its tables may have, and tells all that is wrong
// with it at once, each with its line and the path of its key: see Problems. It knows nothing of feeds.
//
// A Field is a name, and either the fields of a table or a DecodeFunc, which says what its value must look like and
// where it goes. Text, Number, Duration and the others make one for each kind of value; a caller's own may decode parts
// with them, and Report what is wrong beyond. What is not in a list is an unknown key, with a guess of what was meant.
//
//	decode.go    the way from bytes to fields; where a key stands in the file (package marks)
//	env.go       ${NAME} in strings is replaced by environment variables
//	kinds.go     kinds of values: how each is read, and how it is shown
//	files.go     those that are names of files
//	origin.go    where a value came from
//	problem.go   what is wrong, for people
//	collect.go   how much of it is kept where a file is nothing but wrong
//	redact.go    URLs without their secrets
//	suggest.go   did you mean …?
//
// Secrets: a bad value is shown as the file has it, so without what a variable holds, and a URL without user, password
// and query.
package strict
