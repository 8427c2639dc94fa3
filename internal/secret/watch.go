package secret

import (
	"context"

	"feedmux/internal/lookout"
)

// Watch calls changed, and waits for it, each time that the value is another than it was when Watch looked last, until
// ctx ends. What it compares with first is what Value gave last, so nothing is missed between that and the beginning of
// Watch; where Value was never asked, it is what Watch finds at its beginning. Only good values count. A value that does
// not stay for a moment may be passed over. An environment variable cannot change while we run: only Use makes another
// value of it.
//
// Where directories can be watched, a change of a file is seen after 100 ms without another one; else, and in any case,
// within 5 s. A command is run, one at a time, whenever it is due. It is killed when ctx ends or Use takes another source,
// and Watch returns once it is gone. One Watch may run at a time.
func (s *Secret) Watch(ctx context.Context, changed func()) {
	s.watch(true)
	defer s.watch(false)
	for ctx.Err() == nil {
		s.follow(ctx, changed)
	}
}

// follow watches the source of now until there is another one, or ctx ends.
func (s *Secret) follow(ctx context.Context, changed func()) {
	ctx, source, uses := s.enter(ctx)
	look := func() {
		if s.changed(ctx) {
			changed()
		}
	}
	switch {
	case source.isCommand():
		s.keep(ctx, look)
		return
	case source.File != "":
		o := lookout.Options{Poll: s.poll, Rest: s.rest, NewWatcher: s.newWatcher}
		lookout.Watch(ctx, source.File, o, func() {
			s.read(uses)
			look()
		})
		return
	case source.Env != "":
		s.read(uses)
		look()
	}
	<-ctx.Done()
}

// watch says whether Watch runs. Those who waited for it do without, once it has ended.
func (s *Secret) watch(runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched = runs; !runs && s.leave != nil {
		s.leave()
		s.leave = nil
	}
	s.movedLocked()
}

// enter gives what to watch, and the context of that, which ends when there is another source.
func (s *Secret) enter(ctx context.Context) (context.Context, Source, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leave != nil {
		s.leave()
	}
	ctx, s.leave = context.WithCancel(ctx)
	return ctx, s.source, s.uses
}

// read reads the file or the variable, unless another source is used by now.
func (s *Secret) read(uses int) {
	s.mu.Lock()
	var news error
	if uses == s.uses {
		news = s.readLocked()
	}
	s.mu.Unlock()
	s.tell(news)
}

// changed says whether the value is another than it was when changed was last asked. Once ctx has ended, it is not asked.
func (s *Secret) changed(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.good == "" || s.good == s.seen {
		return false
	}
	s.seen = s.good
	return true
}
