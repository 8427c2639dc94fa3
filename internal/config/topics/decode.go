package topics

import (
	"maps"
	"math"
	"slices"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

// Array decodes topics that are strings or tables, and adds them to *p; own are the keys that the protocol gives them.
func Array(p *[]Topic, own []string) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		elements, ok := strict.List(v)
		if !ok {
			d.WrongType(at, "an array of topics", v)
			return
		}
		for i, e := range elements {
			key := marks.Index(at, i)
			t := Topic{Place: d.PlaceOf(key)}
			d.Value(key, e, strict.Field{Kind: strict.Kind{Decode: one(&t, own)}})
			if t.Name != "" {
				*p = append(*p, t)
			}
		}
	}
}

// One decodes a topic that stands in no file: a string or a table, as TOML or JSON decoders make them. An error is
// strict.Problems, with keys below topic. No ${NAME} is expanded.
func One(own []string, v any) (Topic, error) {
	d := strict.New("", nil)
	t := Topic{Place: strict.Place{Key: RunTime}}
	one(&t, own)(d, "topic", whole(v))
	if err := d.Err(); err != nil {
		return Topic{}, err
	}
	return t, nil
}

// whole makes the whole numbers of JSON those of TOML.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return int64(v)
		}
	case map[string]any:
		table := make(map[string]any, len(v))
		for key, x := range v {
			table[key] = whole(x)
		}
		return table
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = whole(x)
		}
		return list
	}
	return v
}

// one decodes one; own are the keys of the protocol. There are few keys, so each unknown one names them all.
func one(t *Topic, own []string) strict.DecodeFunc {
	return func(d *strict.Decoder, at string, v any) {
		switch v := v.(type) {
		case string:
			strict.Text(&t.Name, strict.NonEmpty).Decode(d, at, v)
		case map[string]any:
			fields := Fields(t, own)
			known := make(map[string]any, len(v))
			for _, name := range slices.Sorted(maps.Keys(v)) {
				if slices.ContainsFunc(fields, func(f strict.Field) bool { return f.Name == name }) {
					known[name] = v[name]
				} else if !slices.Contains(own, AnyKey) {
					d.Report(marks.Join(at, name), "unknown key; a topic has %s", enumerate(fields))
				}
			}
			d.Table(at, known, fields)
		default:
			d.WrongType(at, `a string or { topic = "…", priority = … }`, v)
		}
	}
}

// enumerate is "topic, priority and mode".
func enumerate(fields []strict.Field) string {
	text := ""
	for i, f := range fields {
		switch i {
		case 0:
		case len(fields) - 1:
			text += " and "
		default:
			text += ", "
		}
		text += f.Name
	}
	return text
}
