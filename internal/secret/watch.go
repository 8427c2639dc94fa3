package secret

import (
	"context"

	"feedmux/internal/lookout"
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
	seen, asked := s.last()
	if !asked {
		seen, _ = s.Value()
	}
	o := lookout.Options{Poll: s.poll, Rest: s.rest, NewWatcher: s.newWatcher}
	lookout.Watch(ctx, s.source.File, o, func() {
		if value, err := s.Value(); err == nil && value != seen && ctx.Err() == nil {
			seen = value
			changed()
		}
	})
}
