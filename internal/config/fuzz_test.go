package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

func FuzzParse(f *testing.F) {
	seeds, _ := filepath.Glob("testdata/*.toml")
	for _, seed := range append(seeds, exampleFile) {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, seed := range []string{
		"\ufeff", "\x00", "\xff", "[", "[[", "=", "a", "a=", "a=[", "a={", "a=\"", "a='''", "a=1\r", "a.b=1\na=2",
		"a=1\na.b=2", "[a]\n[a.b]\n[a]", "[[a]]\n[a]", "[a]\n[[a]]", "a=[{b=1}]\n[a.c]", "a={b=1}\n[a.c]",
		"a={b={}}\n[a.b.c]", "\"\"=1", "\"a.b\"=1\na.b=1", "[a.b]\nc=1\n[a]\nb.d=1", "a=[[[1],[]],[{}]]", "a={b=[{c=1,},],}",
		"a=\"\"\"\\\n x\"\"\"",
		"'a\"'=1", "\"\\u0000\"=1", "a=1979-05-27T07:32:00Z", "a=07:32:00", "a=nan\nb=-inf", "a=9223372036854775808",
		"[[a.b]]\n[[a.b.c]]\n[[a.b]]\nc.d=1\nc={}", "feed=[]", "feed=[[]]", "feed=[{}]", "[feed]\nfeed=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		c, err := Parse("config.toml", []byte(text), options())
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", c, err)
		}
		var problems Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
			t.Fatalf("the error has no problem: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || (p.File == "config.toml" && p.Line > lines) || p.Message == "" {
				t.Errorf("bad problem: %+v", p)
			}
		}

		// The tree and the lines come from two parsers: they must have seen the same keys.
		data := []byte(strings.TrimPrefix(text, "\ufeff"))
		tree := map[string]any{}
		_, treeErr := toml.Decode(string(data), &tree)
		lineOf, twice, _, linesErr := marks.Lines(data)
		if treeErr != nil || linesErr != nil || twice != nil {
			return
		}
		paths := map[string]bool{}
		addPaths(paths, "", tree)
		for path := range paths {
			if lineOf[path] < 1 {
				t.Errorf("%s has no line", path)
			}
		}
		for path := range lineOf {
			if !paths[path] {
				t.Errorf("%s has a line and is not in the tree", path)
			}
		}
	})
}

func addPaths(paths map[string]bool, at string, v any) {
	if at != "" {
		paths[at] = true
	}
	if tree, ok := v.(map[string]any); ok {
		for key, value := range tree {
			addPaths(paths, marks.Join(at, key), value)
		}
	}
	elements, _ := strict.List(v)
	for i, value := range elements {
		addPaths(paths, marks.Index(at, i), value)
	}
}
