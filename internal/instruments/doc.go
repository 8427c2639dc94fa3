// Package instruments follows a file that says what the names of topics stand for, such as a broker's daily list of
// instruments with their numbers. What the file means is its reader's to say: see Resolve.
//
// Such a file is replaced once a day, by a program that may be in the middle of writing. A reading that fails, or that is
// suddenly less than half as long as the last good one, changes nothing. What each name stood for is remembered beyond the
// end of the process, so that a name which stands for something else after a restart does not do so silently.
package instruments
