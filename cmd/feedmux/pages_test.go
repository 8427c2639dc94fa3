package main

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of the project.
const root = "../.."

// pages are all documents, by their names in the project.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "bench/*.md", "mutants/*.md"} {
		names, err := fs.Glob(os.DirFS(root), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			found[name] = string(text)
		}
	}
	return found
}

// tests are the names of the tests and fuzz targets in a folder; none if it is no package.
func tests(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// TestThePagesNameTestsThatExist: what is said to be proved by a test is. In a paragraph a test is named after its package;
// a command that runs tests runs some.
func TestThePagesNameTestsThatExist(t *testing.T) {
	word := regexp.MustCompile("`([^`\n]+)`")
	name := regexp.MustCompile(`^(Test|Fuzz)\w+$`)
	command := regexp.MustCompile(`go test [^\n]*-run (\w+) \./(\S+?)[\s` + "`]")
	named, run := 0, 0
	for page, text := range pages(t) {
		for paragraph := range strings.SplitSeq(text, "\n\n") {
			dir := ""
			there := make(map[string]bool)
			for _, m := range word.FindAllStringSubmatch(paragraph, -1) {
				if name.MatchString(m[1]) {
					named++
					if !there[m[1]] {
						t.Errorf("%s: %s is not in %q", page, m[1], dir)
					}
				} else if names := tests(t, m[1]); len(names) > 0 {
					dir = m[1]
					clear(there)
					for _, n := range names {
						there[n] = true
					}
				}
			}
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			run++
			if !strings.Contains(strings.Join(tests(t, m[2]), "\n"), m[1]) {
				t.Errorf("%s: no test in %s is called %s", page, m[2], m[1])
			}
		}
	}
	if named < 100 || run < 10 {
		t.Errorf("only %d names and %d commands were found", named, run)
	}
}

// TestThePagesLeadSomewhere follows every link within the project, and looks for the files and folders that are named.
func TestThePagesLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]+))?\)`)
	file := regexp.MustCompile("`(\\.?[\\w-]+(?:/[\\w.-]+)*(?:/|/[\\w-]+\\.(?:go|md)))`")
	texts := pages(t)
	links, files := 0, 0
	for page, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			to := page
			if m[1] != "" {
				to = path.Join(path.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s leads to %s, which is not there", page, m[1])
			}
			if m[2] != "" && !anchors(texts[to])[m[2]] {
				t.Errorf("%s leads to #%s of %s, which is not there", page, m[2], to)
			}
		}
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			files++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if links < 20 || files < 20 {
		t.Errorf("only %d links and %d files were found", links, files)
	}
}

// anchors are what links may lead to in a page: its headings. In a fenced part what looks like one is a comment.
func anchors(text string) map[string]bool {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
	found := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		found[anchor(m[1])] = true
	}
	return found
}

func TestACommentInAFencedPartIsNoHeading(t *testing.T) {
	found := anchors("# A page\n\n```sh\n# a comment\nls\n```\n\n## Its end\n")
	if want := map[string]bool{"a-page": true, "its-end": true}; !maps.Equal(found, want) {
		t.Errorf("the headings are %v, want %v", found, want)
	}
}

// anchor is what a link to a heading says.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// TestTheArchitectureNamesEveryPackage: by its folder, or by its last name in the row of the package above.
func TestTheArchitectureNamesEveryPackage(t *testing.T) {
	text := pages(t)["ARCHITECTURE.md"]
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata") {
			return fs.SkipDir
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		dir = filepath.ToSlash(dir)
		if err != nil || seen[dir] {
			return err
		}
		seen[dir] = true
		if !strings.Contains(text, "| `"+dir+"` |") && !inRowOf(text, path.Dir(dir), path.Base(dir)) {
			t.Errorf("ARCHITECTURE.md has no row for %s", dir)
		}
		return nil
	})
	if err != nil || len(seen) < 20 {
		t.Errorf("%d packages, %v", len(seen), err)
	}
}

func inRowOf(text, dir, base string) bool {
	_, row, found := strings.Cut(text, "| `"+dir+"` |")
	row, _, _ = strings.Cut(row, "\n")
	return found && strings.Contains(row, "`"+base+"`")
}
