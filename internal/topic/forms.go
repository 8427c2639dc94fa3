package topic

import "encoding/binary"

// Branch makes the form of a topic whose subject is made of values from an upstream, and sees to it that the sink knows it. It
// does not wait, and keeps nothing of values.
type Branch func(t *Topic, values [][]byte) (*Topic, error)

// MostForms is how many forms are remembered. When there are more, all are made anew: they hold nothing.
const MostForms = 4096

// Forms remembers the forms that a Branch made, by topic and values. It has one owner and no lock; the zero value remembers
// none.
type Forms struct {
	made map[string]*Topic
	key  []byte
}

// Of gives the form of t for these values. A failure is not remembered: such values may be long, and many.
func (f *Forms) Of(t *Topic, values [][]byte, branch Branch) (*Topic, error) {
	f.key = appendPart(f.key[:0], t.Name)
	for _, v := range values {
		f.key = appendPart(f.key, v)
	}
	if form := f.made[string(f.key)]; form != nil && form.Is(t) {
		return form, nil
	}
	form, err := branch(t, values)
	if err != nil {
		return nil, err
	}
	if f.made == nil || len(f.made) >= MostForms {
		f.made = make(map[string]*Topic)
	}
	f.made[string(f.key)] = form
	return form, nil
}

// Len is how many forms are remembered.
func (f *Forms) Len() int { return len(f.made) }

// appendPart appends a part of a key, so that no two rows of parts look the same.
func appendPart[T ~string | ~[]byte](key []byte, part T) []byte {
	key = binary.AppendUvarint(key, uint64(len(part)))
	return append(key, part...)
}
