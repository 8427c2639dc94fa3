package control

import (
	"fmt"
	"strings"
)

// NoFeed says that no feed has this name, and which there are.
func NoFeed(name string, there []string) string {
	const most = 10
	text := fmt.Sprintf("there is no feed %q", name)
	switch n := len(there); {
	case n == 0:
		return text + "; there is none at all"
	case n == 1:
		return text + "; there is " + there[0]
	case n > most:
		return fmt.Sprintf("%s; there are %s and %d more", text, strings.Join(there[:most], ", "), n-most)
	default:
		return text + "; there are " + strings.Join(there[:n-1], ", ") + " and " + there[n-1]
	}
}

func (o *Options) feedNames() (names []string) {
	for _, f := range o.Feeds() {
		names = append(names, f.Name)
	}
	return names
}
