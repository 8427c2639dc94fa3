package lookout

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The usual times: between two looks at a file of which nothing is heard, and without a change before one of which
// something is.
const (
	Poll = 5 * time.Second
	Rest = 100 * time.Millisecond
)

// Options are how a file is watched.
type Options struct {
	Poll, Rest time.Duration                     // default: the usual
	NewWatcher func() (*fsnotify.Watcher, error) // default: fsnotify.NewWatcher

	// Again asks for one more look, whatever happens to the file. nil: nobody does.
	Again <-chan struct{}
}

// Watch calls look at once, and then each time that what is read from file may have changed, until ctx ends: once there was
// no change for o.Rest, and every o.Poll and after o.Again in any case. It waits for look.
func Watch(ctx context.Context, file string, o Options, look func()) {
	l := lookout{newWatcher: o.NewWatcher}
	if l.newWatcher == nil {
		l.newWatcher = fsnotify.NewWatcher
	}
	defer l.close()
	see := func() {
		l.renew(file) // before reading: what happens after the reading is then heard of
		look()
	}
	see()

	poll := time.NewTicker(cmp.Or(o.Poll, Poll))
	defer poll.Stop()
	quiet := cmp.Or(o.Rest, Rest)
	rest := time.NewTimer(quiet)
	defer rest.Stop()
	rest.Stop()
	for {
		events, errors := l.channels()
		select {
		case <-ctx.Done():
			return
		case <-o.Again:
			see()
		case <-poll.C: // though there is no rest: somebody may write into a file without end
			see()
		case <-rest.C:
			see()
		case event, open := <-events:
			if l.concerned(event, open) {
				rest.Reset(quiet)
			}
		case <-errors: // events were lost
			l.close()
			rest.Reset(quiet)
		}
	}
}

// lookout hears of what may change what is read from a file. It is of use only between renew and close.
type lookout struct {
	newWatcher func() (*fsnotify.Watcher, error)

	watcher *fsnotify.Watcher // nil: nothing can be watched now
	places  []place           // what watcher was made for
}

// place is a name on the way to a file behind which something else may be put: a symbolic link, or the file itself.
type place struct {
	name string
	dir  fs.FileInfo // of the directory that holds the name; nil if there is none
}

func (p place) same(o place) bool {
	return p.name == o.name && (p.dir == nil) == (o.dir == nil) && (p.dir == nil || os.SameFile(p.dir, o.dir))
}

// renew watches the places that now lead to file. If that fails, the next renew tries again.
func (l *lookout) renew(file string) {
	places := placesOf(file)
	if l.watcher != nil && slices.EqualFunc(places, l.places, place.same) {
		return
	}
	l.close()
	watcher, err := l.newWatcher()
	if err != nil {
		return
	}
	l.watcher, l.places = watcher, places
	for _, p := range places {
		if p.dir == nil {
			continue // it shows as another place once it is there
		}
		if err := watcher.Add(filepath.Dir(p.name)); err != nil {
			l.close()
			return
		}
	}
}

func (l *lookout) close() {
	if l.watcher != nil {
		l.watcher.Close() // waits for its goroutine
		l.watcher = nil
	}
}

// channels are those of the watcher; nil without one.
func (l *lookout) channels() (<-chan fsnotify.Event, <-chan error) {
	if l.watcher == nil {
		return nil, nil
	}
	return l.watcher.Events, l.watcher.Errors
}

// concerned says whether an event may have changed what is read. open is false when no more events come.
func (l *lookout) concerned(event fsnotify.Event, open bool) bool {
	dir := slices.ContainsFunc(l.places, func(p place) bool { return filepath.Dir(p.name) == event.Name })
	if !open || dir {
		l.close() // a watch may have ended with its directory: renew makes another
		return true
	}
	return slices.ContainsFunc(l.places, func(p place) bool { return p.name == event.Name })
}

// maxLinks is how many symbolic links are followed: as many as Linux does.
const maxLinks = 40

// placesOf finds every symbolic link on the way to file, and the file at the end. Each is named by a path without links.
func placesOf(file string) []place {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	var places []place
	for range maxLinks {
		name, target, rest := firstLink(path)
		dir, err := os.Stat(filepath.Dir(name))
		if err != nil {
			dir = nil
		}
		places = append(places, place{name, dir})
		if target == "" {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		path = filepath.Join(target, rest)
	}
	return places
}

// firstLink cuts path behind the first symbolic link in it, and says where that leads. Without one, name is the path.
func firstLink(path string) (name, target, rest string) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && !os.IsPathSeparator(path[i]) {
			continue
		}
		if target, err := os.Readlink(path[:i]); err == nil {
			return path[:i], target, path[i:]
		}
	}
	return path, "", ""
}
