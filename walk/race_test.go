//go:build race

package walk

// shortForm is how many walks CI takes.
const shortForm = 200
