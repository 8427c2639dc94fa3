// Package instruments follows a file that says what the names of topics stand for, such as a broker's daily list of
// instruments with their numbers. What the file means is its reader's to say: see Resolve.
//
// Such a file is replaced once a day, by a program that may be in the middle of writing. So a file that was written to just
// now is left for later; a reading that fails, or that is suddenly less than half as long as the last good one, changes
// nothing; and that names are gone is believed once the file has been as it is for a minute. At the start, where there is no
// last good reading, names go on standing for what they stood for until the file is good. What each name stood for is remembered beyond the
// end of the process, so that a name which stands for something else after a restart does not do so silently.
package instruments
