package shelf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"feedmux/internal/state"
)

// Value is one file of the state directory: about the thing of its kind that is called Name.
type Value struct {
	Dir        *state.Dir
	Kind, Name string
}

func (v Value) file() string { return file(v.Kind, v.Name) }

// Load fails with fs.ErrNotExist where nothing was saved.
func (v Value) Load(to any) error { return v.Dir.Load(v.file(), to) }
func (v Value) Save(of any) error { return v.Dir.Save(v.file(), of) }

// file is what such a file is called, whatever is in the name.
func file(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%s.json", kind, hex.EncodeToString(sum[:8]))
}
