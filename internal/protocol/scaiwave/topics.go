package scaiwave

import (
	"errors"
	"fmt"
	"strings"

	"feedmux/internal/protocol"
	"feedmux/shard"
)

// all is the topic for which every event is.
const all = "*"

// maxTopic is the longest topic that is let through, in bytes. Rooms and types that are documented stay below 80 together.
const maxTopic = 256

// Variables are what the upstream fills into a subject, in the order of an event's Values.
func Variables() []string { return []string{"room", "type"} }

// Check refuses what no event could match: which rooms and types exist is the upstream's to say.
func (p *Protocol) Check(t protocol.Topic) error {
	name := string(t.Name)
	if name == "" {
		return errors.New("a topic cannot be empty")
	}
	if len(name) > maxTopic {
		return fmt.Errorf("a topic has at most %d bytes, not %d", maxTopic, len(name))
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("a topic is printable ASCII without spaces, but byte %d is %q", i+1, c)
		}
	}
	if name != all && strings.Contains(name, all) {
		return errors.New(`"*" stands alone, for everything: a topic is a room, or a room, "/" and a type`)
	}
	if room, typ, ok := strings.Cut(name, "/"); ok {
		switch {
		case strings.Contains(typ, "/"):
			return errors.New(`a topic has one "/" at most, between room and type: a room with a "/" in its id can only be had with "*"`)
		case room == "" || typ == "":
			return errors.New(`a topic with a "/" has a room before it and a type after it`)
		}
	}
	return nil
}

// Fields are what the events of a topic that passed Check have in common: their room and their type. "": any.
func Fields(t shard.Topic) (room, typ string) {
	if t == all {
		return "", ""
	}
	room, typ, _ = strings.Cut(string(t), "/")
	return room, typ
}
