package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// places lists where a daemon's socket may be, likeliest first. explicit, and else $FEEDMUX_SOCKET, leaves no choice.
func places(explicit string, getenv func(string) string) []string {
	if explicit == "" {
		explicit = getenv("FEEDMUX_SOCKET")
	}
	if explicit != "" {
		return []string{explicit}
	}
	var dirs []string
	add := func(dir string, below ...string) {
		if dir != "" {
			dirs = append(dirs, filepath.Join(append([]string{dir}, below...)...))
		}
	}
	runtime, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":") // systemd separates several so
	add(runtime)
	add("/run/feedmux")
	add(getenv("STATE_DIRECTORY"))
	add(getenv("XDG_STATE_HOME"), "feedmux")
	add(getenv("HOME"), ".local", "state", "feedmux")

	var paths []string
	seen := make(map[string]bool)
	for _, dir := range dirs {
		if path := filepath.Join(dir, Name); !seen[path] {
			seen[path] = true
			paths = append(paths, path)
		}
	}
	return paths
}

// connect opens a connection to the first of the places where a daemon answers. Its error says what to do.
func connect(ctx context.Context, paths []string) (net.Conn, error) {
	var dialer net.Dialer
	var denied, other string
	for _, path := range paths {
		if len(path) > maxPath { // no daemon can be there
			if len(paths) == 1 {
				return nil, tooLong(path)
			}
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
			other = cmp.Or(other, path)
			continue
		}
		conn, err := dialer.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, fs.ErrPermission):
			denied = cmp.Or(denied, path)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ECONNREFUSED):
		default:
			if about := (*net.OpError)(nil); errors.As(err, &about) {
				err = about.Err // else it would name the path again
			}
			return nil, fmt.Errorf("connecting to %s: %w", path, err)
		}
	}
	if denied != "" {
		return nil, fmt.Errorf("permission denied: %s", whose(denied))
	}
	if other != "" {
		return nil, fmt.Errorf("%s is no socket: the daemon's is %s, in its runtime directory or its state directory", other, Name)
	}
	return nil, fmt.Errorf("feedmux does not run here: nobody answers at %s\n"+
		"Start it with \"feedmux run\", or say where its socket is with --socket FILE", strings.Join(paths, " or "))
}

// tooLong says that the system can have no socket at path.
func tooLong(path string) error {
	return fmt.Errorf("%s is %d bytes long, and a socket's path may have %d", path, len(path), maxPath)
}

// whose says who may use a socket that we may not. Where it cannot be seen, its folder tells.
func whose(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return path + ": use sudo"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return path + ": use sudo"
	}
	owner, group := strconv.Itoa(int(stat.Uid)), strconv.Itoa(int(stat.Gid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	text := path + " is " + owner + "'s: use sudo"
	if group != owner { // a group of its own has nobody else in it
		text += ", or be in the group " + group
	}
	return text
}
