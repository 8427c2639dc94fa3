package sink

import (
	"container/list"
	"sync"
)

// maxNotices bounds the notices that wait. When there are more, the oldest goes: what a topic became counts more than
// what it was.
const maxNotices = 64 << 10

type notice struct {
	subject string
	body    []byte
}

// notices wait for NATS, oldest first.
type notices struct {
	mu      sync.Mutex
	queue   list.List
	sent    uint64
	dropped uint64
}

func (q *notices) add(n notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.PushBack(n)
	if q.queue.Len() > maxNotices {
		q.queue.Remove(q.queue.Front())
		q.dropped++
	}
}

func (q *notices) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queue.Len() == 0
}

// take removes the oldest notice.
func (q *notices) take() (n notice, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	front := q.queue.Front()
	if front == nil {
		return notice{}, false
	}
	return q.queue.Remove(front).(notice), true
}

// untake puts a notice back that could not be sent for now. It is the oldest again, so the first to go.
func (q *notices) untake(n notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.queue.Len() == maxNotices {
		q.dropped++
		return
	}
	q.queue.PushFront(n)
}

func (q *notices) count(sent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sent {
		q.sent++
	} else {
		q.dropped++
	}
}

func (q *notices) stats() NoticeStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return NoticeStats{Waiting: q.queue.Len(), Sent: q.sent, Dropped: q.dropped}
}
