// Package shard decides which slot of a pool carries which topic.
//
// It is pure: no clock, no randomness, no memory of its own. Equal inputs give equal plans, and a plan made from its
// own result changes nothing. So a pool may plan as often as it likes, and a reader of its status can tell why a topic
// is where it is.
//
// Two questions are answered apart from each other. Who gets a place is a matter of rank: priority first; among equals
// a topic that keeps its slot, then one whose slot closed or shrank, then a newcomer; then the order of listing. The
// first topics by rank have a place, as many as there is room in all slots together. Where is a matter of peace: who
// has a place stays in it, and only the others are put somewhere by the [Placement].
//
// A topic therefore changes its slot only if the slot closed, or shrank so far that there is no room for it: never for
// tidiness, and never because somebody more wanted came, who takes the place of the least wanted topic of all instead.
package shard
