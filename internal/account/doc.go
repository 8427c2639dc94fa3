// Package account keeps count of what an upstream counts together: sockets that are open or being opened, and dials in a
// time. Feeds of one account share one, so their connections together stay within its cap and its dial budget.
//
// A feed joins with a [Share] of the places. For each dial it asks for a [Share.Turn] and gets a [Seat], which follows
// the socket until the upstream counts it no more:
//
//	Turn ──► dialling ──Dialled──► open ──Live──► live ──Leave──► (held, if the peer did not see the end) ──► free
//
// One scheduler under one lock gives the turns. Whatever changes something calls grantLocked, which gives a turn to the
// first of those who may have one, as long as there is one; a timer calls it when time alone will change something. Who
// waits for a place of a full share holds nobody else up. What must be true for a turn:
//
//   - No pause that the upstream asked for is under way.
//   - While no life of the account is live, nobody else dials, and the shared backoff has passed: an outage costs one
//     probe at a time. The slots probe in turn, since the fault may be one slot's. The first life that is live opens
//     the gate for all.
//   - The share has a place, or the request needs none yet.
//   - The budget lets a dial begin. Dial times are kept in a [Journal], so that a restart spends nothing extra.
package account
