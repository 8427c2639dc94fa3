// Package slots is what is said to a slot and by it: the states of a connection, orders, and news.
package slots
