package forms

import (
	"strings"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

// Command is a program and its arguments.
func Command(p *[]string) strict.Kind {
	return strict.Kind{
		Show: func() string { return strings.Join(*p, " ") },
		Redact: func(string) string { // arguments may be anything
			if len(*p) > 1 {
				return (*p)[0] + " …"
			}
			return strings.Join(*p, "")
		},
		Decode: func(d *strict.Decoder, at string, v any) {
			const want = `a program and its arguments, each a string: ["PROGRAM", "ARGUMENT"]`
			elements, ok := v.([]any)
			if !ok {
				d.WrongType(at, want, v)
				return
			}
			var argv []string
			for i, e := range elements {
				var s string
				right := func(string) string { return "" }
				if i == 0 {
					right = strict.NonEmpty
				}
				d.Value(marks.Index(at, i), e, strict.Field{Kind: strict.Text(&s, right)})
				argv = append(argv, s)
			}
			if len(argv) > 0 && strings.Contains(argv[0], "/") {
				argv[0] = d.Program(argv[0])
			}
			*p = argv
		},
	}
}
