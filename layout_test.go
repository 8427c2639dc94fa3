// Package feedmux_test holds the rules that concern the tree as a whole: which package may import which, how large a
// file may grow, and what may not stand in any of them. It reads the sources rather than asking the go command, so files
// for other systems are held to the rules too.
package feedmux_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "feedmux"

// anything stands for every package of the module.
const anything = "*"

// imports says which packages of the module each package may import, by their folders.
var imports = map[string][]string{
	"shard":                {},
	"limiter":              {},
	"internal/regular":     {},
	"internal/bubble":      {},
	"internal/socket":      {},
	"internal/config":      {"internal/regular", "internal/config/marks", "internal/config/strict", "internal/config/forms", "internal/config/topics", "internal/config/values"},
	"internal/sim":         {},
	"internal/protocol":    {"shard"},
	"internal/account":     {"shard", "limiter"},
	"internal/cause":       {"internal/socket"},
	"internal/overlap":     {},
	"internal/slots":       {"internal/cause", "internal/topic", "shard"},
	"internal/tally":       {},
	"internal/topic":       {"shard"},
	"internal/reader":      {"internal/cause", "internal/overlap", "internal/protocol", "internal/socket", "internal/tally", "internal/topic", "shard"},
	"internal/resume":      {"internal/resume/brought", "internal/cause", "internal/protocol", "internal/topic", "shard", "limiter"},
	"internal/asks":        {"internal/protocol", "internal/topic", "shard", "limiter"},
	"internal/credential":  {"shard"},
	"internal/conn/life":   {"internal/account", "internal/asks", "internal/cause", "internal/protocol", "internal/reader", "internal/socket", "internal/topic", "limiter"},
	"internal/conn":        {"internal/conn/life", "internal/slots", "internal/account", "internal/tally", "internal/asks", "internal/cause", "internal/credential", "internal/overlap", "internal/reader", "internal/resume", "internal/topic", "internal/protocol", "shard", "limiter", "internal/socket"},
	"internal/ledger":      {"internal/slots", "internal/conn", "internal/cause", "internal/topic", "shard"},
	"pool":                 {"internal/slots", "internal/ledger", "internal/conn", "internal/cause", "internal/credential", "internal/topic", "internal/account", "internal/protocol", "shard", "limiter"},
	"internal/subject":     {},
	"internal/notices":     {"internal/slots", "pool", "internal/cause", "internal/conn", "shard"},
	"internal/natswire":    {},
	"internal/sink":        {"pool", "internal/sink/link", "internal/sink/progress", "internal/sink/tap", "internal/subject", "internal/cause", "internal/notices", "internal/topic", "shard"},
	"internal/embedded":    {"internal/subject"},
	"internal/history":     {"internal/control", "internal/cause", "pool"},
	"internal/page":        {"internal/diagnosis", "internal/console", "internal/control", "internal/history", "internal/cause", "internal/slots", "internal/topic", "pool", "shard"}, // console for its tests
	"internal/diagnosis":   {},
	"internal/console":     {"internal/diagnosis"},
	"internal/operate":     {"internal/config", "internal/console", "internal/control/local", "internal/cause", "internal/control", "internal/sink/tap", "internal/slots", "internal/topic", "pool", "shard"}, // most for its tests
	"internal/control":     {"internal/slots", "pool", "internal/conn", "internal/cause", "internal/topic", "shard"},
	"internal/state":       {},
	"internal/proxy":       {"internal/cause", "internal/socket"}, // its tests
	"internal/natscontext": {"internal/regular"},
	"internal/natslogin":   {"internal/regular", "internal/config", "internal/natscontext", "internal/proxy"},
	"internal/additions":   {"internal/config"},
	"internal/topicfile":   {"internal/lookout"},
	"internal/lookout":     {},
	"internal/secret":      {"internal/regular", "internal/lookout", "limiter"},
	"internal/instruments": {"internal/regular", "internal/lookout", "shard"},
	"internal/simulators":  {"internal/sim/upstream", "internal/sim/twitch", "internal/sim/kite", "internal/sim/scaiwave"},
	"internal/daemon":      {anything},
	"internal/dialects":    {anything},
	"cmd/feedmux":          {anything},
	"bench":                {anything},

	"internal/config/marks":    {},
	"internal/config/strict":   {"internal/regular", "internal/config/marks"},
	"internal/config/forms":    {"internal/config/marks", "internal/config/strict", "internal/proxy"},
	"internal/config/topics":   {"internal/regular", "internal/config/marks", "internal/config/strict"},
	"internal/config/values":   {"internal/config/strict", "internal/config/topics"},
	"internal/daemon/answer":   {"internal/config", "internal/control", "internal/control/local", "internal/sink", "pool", "shard", "internal/cause", "internal/notices", "internal/sink/link"}, // the last three for its tests
	"internal/daemon/believed": {"internal/config", "internal/topicfile"},
	"internal/daemon/gate":     {},
	"internal/daemon/settings": {"internal/account", "internal/config", "internal/conn", "internal/daemon/network", "internal/protocol", "limiter", "pool", "shard"},
	"internal/daemon/dialect":  {anything},
	"internal/daemon/accounts": {"internal/account", "limiter"},
	"internal/daemon/expiry":   {"internal/config"},
	"internal/daemon/network":  {"internal/regular", "internal/config", "internal/conn", "internal/proxy"},
	"internal/daemon/shelf":    {"internal/account", "internal/notices", "internal/sink", "internal/state", "pool", "shard"},
	"internal/daemon/wants":    {"internal/additions", "internal/config"},
	"internal/control/local":   {"internal/control", "internal/sink/tap", "shard"},
	"internal/sim/websocket":   {},
	"internal/resume/brought":  {},
	"internal/sink/link":       {"internal/natswire"},
	"internal/sink/progress":   {},
	"internal/sink/tap":        {"shard"},
	"internal/sim/upstream":    {"internal/sim/websocket"},
	"internal/sim/twitch":      {"internal/sim/upstream", "internal/sim/websocket"},
	"internal/sim/kite":        {"internal/sim/upstream", "internal/sim/websocket"},
	"internal/sim/scaiwave":    {"internal/sim/split", "internal/sim/upstream", "internal/sim/websocket"},
	"internal/sim/split":       {"internal/sim/websocket"},

	// Tests alone.
	".":         {},
	"systemd":   {},
	"packaging": {},
	"walk":      {anything},

	// A module of its own.
	"docs/dashboards/check": {},
}

// protocols is what each package below internal/protocol may import.
var protocols = []string{"internal/protocol", "shard"}

// forTests may be imported by the tests of every package beside its own table.
var forTests = []string{
	"internal/bubble", "internal/sim", "internal/sim/upstream", "internal/sim/twitch", "internal/sim/kite", "internal/sim/scaiwave", "internal/protocol/protocoltest", "internal/protocol/pubsub",
	"internal/protocol/kite", "internal/protocol/scaiwave", "internal/resume", "internal/tally",
}

func allowed(dir string) (dirs []string, known bool) {
	if path.Dir(dir) == "internal/protocol" {
		return protocols, true
	}
	dirs, known = imports[dir]
	return dirs, known
}

func TestPackagesImportWhatTheTableAllows(t *testing.T) {
	for _, p := range packages(t) {
		table, known := allowed(p.dir)
		if !known {
			t.Errorf("%s: a package that the table of imports does not know", p.dir)
			continue
		}
		for _, f := range p.files {
			may := table
			if f.test {
				may = slices.Concat(table, forTests, []string{p.dir}) // itself: package x_test
			}
			for _, dir := range f.imports {
				if !slices.Contains(may, dir) && !slices.Contains(may, anything) {
					t.Errorf("%s: imports %s; %s may import %q", f.name, dir, p.dir, may)
				}
			}
		}
	}
}

// See package bubble for why.
func TestWhoUsesBubblesRunsThemOnOneProcessorUnderTheRaceDetector(t *testing.T) {
	users := 0
	for _, p := range packages(t) {
		if !slices.ContainsFunc(p.files, func(f file) bool { return f.bubbles }) {
			continue
		}
		users++
		if !slices.ContainsFunc(p.files, func(f file) bool { return f.test && slices.Contains(f.imports, "internal/bubble") }) {
			t.Errorf("%s: its tests use testing/synctest and do not import internal/bubble", p.dir)
		}
	}
	if users < 10 {
		t.Errorf("found %d packages that use testing/synctest: is the search broken?", users)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.ContainsFunc(p.files, func(f file) bool { return f.documented && f.test == p.testsOnly() }) {
			t.Errorf("%s: no file has a package comment", p.dir)
		}
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for _, p := range packages(t) {
		switch name := path.Base(p.dir); name {
		case "util", "utils", "common", "types", "helpers", "misc", "base":
			t.Errorf("%s: a package named %s attracts whatever has no place; name it for what it does", p.dir, name)
		}
	}
}

func TestFilesAndPackagesStaySmall(t *testing.T) {
	const inFile, inPackage = 400, 1500
	for _, p := range packages(t) {
		sum := 0
		for _, f := range p.files {
			if f.test {
				continue
			}
			if f.lines > inFile {
				t.Errorf("%s: %d lines, more than %d; split it by idea", f.name, f.lines, inFile)
			}
			sum += f.lines
		}
		if sum > inPackage {
			t.Errorf("%s: %d lines without its tests, more than %d", p.dir, sum, inPackage)
		}
	}
}

func TestTheModuleHasItsName(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(mod), "\n"); first != "module "+module {
		t.Errorf("go.mod begins with %q", first)
	}
}

// machinePath matches an absolute path that means something on one machine only: folders that belong to people, to
// programs while they run, or to build machines.
var machinePath = regexp.MustCompile(`(^|[^\w.~$})/-])/(` +
	strings.Join([]string{"home", "root", "tmp", "Users", "work", "builds"}, "|") + `)/`)

func TestNoFileNamesAPlaceOnOneMachine(t *testing.T) {
	walk(t, func(name string) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return // not text
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if machinePath.Match(line) {
				t.Errorf("%s:%d: names a place on one machine: %.120s", name, i+1, bytes.TrimSpace(line))
			}
		}
	})
}

func TestTheSearchForMachinePathsFindsThem(t *testing.T) {
	const dir = "/home" // apart from its slash, so that this file passes
	for line, found := range map[string]bool{
		dir + "/jo/feeds":                   true,
		`open("` + dir + `/jo")`:            true,
		"see " + dir + "/jo":                true,
		"https://example.com" + dir + "/jo": false,
		"$ROOT" + dir + "/jo":               false,
		"a" + dir + "/jo":                   false,
		"ProtectHome " + dir + " of users":  false,
	} {
		if machinePath.MatchString(line) != found {
			t.Errorf("%q: found is %v, want %v", line, !found, found)
		}
	}
}

// pkg is one folder with Go files in it; its external tests belong to it.
type pkg struct {
	dir   string // "." is the root
	files []file
}

type file struct {
	name       string
	test       bool
	lines      int
	documented bool
	imports    []string // folders of this module
	bubbles    bool     // imports testing/synctest
}

func (p pkg) testsOnly() bool {
	return !slices.ContainsFunc(p.files, func(f file) bool { return !f.test })
}

// packages reads every package of the module, in order.
func packages(t *testing.T) []pkg {
	t.Helper()
	byDir := make(map[string]*pkg)
	walk(t, func(name string) {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			return
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
		}
		byDir[dir].files = append(byDir[dir].files, parse(t, name))
	})
	if len(byDir) < 2 {
		t.Fatal("found no packages")
	}
	var all []pkg
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		all = append(all, *byDir[dir])
	}
	return all
}

func parse(t *testing.T, name string) file {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	f := file{
		name:       name,
		test:       strings.HasSuffix(name, "_test.go"),
		lines:      bytes.Count(text, []byte("\n")),
		documented: tree.Doc != nil && strings.TrimSpace(tree.Doc.Text()) != "",
	}
	for _, spec := range tree.Imports {
		if dir, found := folder(t, spec); found {
			f.imports = append(f.imports, dir)
		}
		f.bubbles = f.bubbles || spec.Path.Value == `"testing/synctest"`
	}
	return f
}

// folder is the folder of an imported package of this module.
func folder(t *testing.T, spec *ast.ImportSpec) (dir string, found bool) {
	t.Helper()
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		t.Fatal(err)
	}
	if name == module {
		return ".", true
	}
	return strings.CutPrefix(name, module+"/")
}

// ours says whether a folder belongs to the project: not what is built, nor what git and editors keep.
func ours(dir string) bool {
	switch dir {
	case ".", ".ci", ".github":
		return true
	case "bin", "dist":
		return false
	}
	base := path.Base(filepath.ToSlash(dir))
	return base != "node_modules" && !strings.HasPrefix(base, ".")
}

// walk calls visit for every file that belongs to the project, with slashes in its name.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && !ours(name):
			return fs.SkipDir
		case entry.Type().IsRegular():
			visit(filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
