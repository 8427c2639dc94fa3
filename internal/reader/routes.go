package reader

import (
	"feedmux/internal/protocol"
	"feedmux/internal/topic"
	"feedmux/shard"
)

// Change lets the session ask for add and end drop, and makes the routes agree.
func (r *Reader) Change(add []*topic.Topic, drop []shard.Topic, out *protocol.Out) {
	asked := make([]protocol.Topic, len(add))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range drop {
		delete(r.routes, name)
	}
	for i, t := range add {
		asked[i] = protocol.Topic{Name: t.Name, Options: t.Options}
		if to := r.routes[t.Name]; to != nil {
			to.topic = t
		} else {
			r.routes[t.Name] = &route{topic: t}
		}
	}
	r.Session.Change(asked, drop, out)
}

// Rename lets a topic that was removed and wanted again, or another form of it, take the place of the one before.
func (r *Reader) Rename(t *topic.Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to := r.routes[t.Name]; to != nil {
		to.topic = t
	}
}

// Listen lets the next event of a topic be told like its first.
func (r *Reader) Listen(name shard.Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to := r.routes[name]; to != nil {
		to.heard = false
	}
}

// Forget ends a topic's route: the upstream will send nothing for it.
func (r *Reader) Forget(name shard.Topic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, name)
}

// Ping lets the session say its ping.
func (r *Reader) Ping(out *protocol.Out) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Session.Ping(out)
}

// Renew gives the session a credential that changed.
func (r *Reader) Renew(e protocol.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Session.Renew(e)
}
