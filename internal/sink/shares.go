package sink

import "slices"

// Half of the buffer is kept for the feeds in equal shares, and half is anybody's.

// addFeed gives f its share, and the other feeds smaller ones. It is called before the first put of f.
func (b *buffer) addFeed(f *feed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feeds = append(b.feeds, f)
	b.divideLocked()
}

// removeFeed gives f's share to the others, as soon as nothing of f waits. It is called after the last put of f.
func (b *buffer) removeFeed(f *feed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.leaves = true
	b.leaveLocked(f)
}

// leaveLocked removes a feed that leaves and of which nothing waits.
func (b *buffer) leaveLocked(f *feed) {
	if !f.leaves || f.used > 0 || len(f.overflow) > 0 {
		return
	}
	b.feeds = slices.DeleteFunc(b.feeds, func(g *feed) bool { return g == f })
	b.divideLocked()
}

// divideLocked shares the buffer among the feeds that there are.
func (b *buffer) divideLocked() {
	b.share = b.limit / 2 / int64(max(1, len(b.feeds)))
	b.common = 0
	for _, f := range b.feeds {
		b.common += max(0, f.used-b.share)
	}
}

// chargeLocked takes n bytes for a feed, if there is room: in its own share first, then in the common half.
func (b *buffer) chargeLocked(f *feed, n int64) bool {
	beyond := max(0, f.used+n-b.share) - max(0, f.used-b.share)
	if b.common+beyond > b.limit-b.share*int64(len(b.feeds)) {
		return false
	}
	b.common += beyond
	b.used += n
	f.used += n
	return true
}

// mostLocked is what one feed can ever use, if the others leave it the common half.
func (b *buffer) mostLocked() int64 { return b.limit - b.share*int64(len(b.feeds)-1) }

func (b *buffer) refundLocked(f *feed, n int64) {
	b.common -= max(0, f.used-b.share) - max(0, f.used-n-b.share)
	b.used -= n
	f.used -= n
	b.leaveLocked(f)
}
