package secret

import (
	"context"
	"time"
)

// Watch calls changed, and waits for it, each time that the value is another than it was when Watch looked last, until
// ctx ends. What it compares with first is what Value gave last, so nothing is missed between that and the beginning of
// Watch; where Value was never asked, it is what Watch finds at its beginning. Only good values count. A value that does
// not stay for a moment may be passed over. An environment variable cannot change while we run: there is nothing to call.
//
// Where directories can be watched, a change is seen after 100 ms without another one; else, and in any case, within 5 s.
func (s *Secret) Watch(ctx context.Context, changed func()) {
	if s.source.File == "" {
		<-ctx.Done()
		return
	}
	out := lookout{newWatcher: s.newWatcher}
	defer out.close()

	seen, asked := s.last()
	if !asked {
		seen, _ = s.Value()
	}
	look := func() {
		out.renew(s.source.File) // before reading: what happens after the reading is then heard of
		if value, err := s.Value(); err == nil && value != seen && ctx.Err() == nil {
			seen = value
			changed()
		}
	}
	look()

	poll := time.NewTicker(s.poll)
	defer poll.Stop()
	rest := time.NewTimer(s.rest)
	defer rest.Stop()
	rest.Stop()
	for {
		events, errors := out.channels()
		select {
		case <-ctx.Done():
			return
		case <-poll.C: // though there is no rest: somebody may write into a file without end
			look()
		case <-rest.C:
			look()
		case event, open := <-events:
			if out.concerned(event, open) {
				rest.Reset(s.rest)
			}
		case <-errors: // events were lost
			out.close()
			rest.Reset(s.rest)
		}
	}
}
