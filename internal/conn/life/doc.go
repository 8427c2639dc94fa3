// Package life is one socket of a slot, from its handshake on: the settings that it was dialled with, what is written on it
// and when, and the signs by which it counts as dead.
//
// Which life serves, and what follows from the end of one, is package conn's.
package life
