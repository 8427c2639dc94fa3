package main

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// said is what a command prints when all is well.
func said(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), args, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("feedmux %q: exit %d\n%s", args, code, errs.String())
	}
	return out.String()
}

func TestTheManualPageIsOnStandardOutput(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	page := said(t, "man")
	for _, want := range []string{
		`.TH "FEEDMUX" "1" "Jan 1970" "feedmux ` + version() + `" "feedmux"`,
		"\\fBfeedmux-run(1)\\fP",
		// Lines that are indented in the help stay lines.
		"\nfeedmux demo                          see all of it at work; nothing else is needed\nfeedmux check",
		// Where the page is that status names.
		"\n.SH FILES\n",
		"\n/usr/share/doc/feedmux/docs/troubleshooting.md, and every",
	} {
		if !strings.Contains(strings.ReplaceAll(page, `\-`, "-"), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestEveryCommandHasAManualPage(t *testing.T) {
	dir := t.TempDir() + "/new/man1"
	if out := said(t, "man", "--dir", dir); out != "" {
		t.Errorf("it also said %q", out)
	}
	pages := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		if page, err := os.ReadFile(dir + "/" + name); err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), c.Short) || strings.Contains(string(page), "spf13") {
			t.Errorf("%s does not say what it is about, or who wrote it:\n%s", name, page)
		}
		pages++
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand())
	if page, err := os.ReadFile(dir + "/feedmux.1"); err != nil || strings.Count(string(page), "\n.SH FILES\n") != 1 {
		t.Errorf("feedmux.1 has no files, %v", err)
	}
	written, err := fs.Glob(os.DirFS(dir), "*.1")
	if err != nil || len(written) < pages || pages < 5 {
		t.Errorf("%d pages of %d commands, %v", len(written), pages, err)
	}
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"man", "--dir", file}, &out, &errs); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	if got := errs.String(); !strings.HasPrefix(got, "feedmux: making a folder for the pages: ") {
		t.Errorf("it said %q", got)
	}
}

func TestCompletionIsOfferedForEachShellAndSaysHowToInstallIt(t *testing.T) {
	if help := said(t, "--help"); !strings.Contains(help, "\n  completion ") {
		t.Errorf("the help does not name it:\n%s", help)
	}
	for shell, want := range map[string]string{
		"bash": "complete -o default",
		"zsh":  "#compdef feedmux",
		"fish": "complete -c feedmux",
	} {
		if script := said(t, "completion", shell); !strings.Contains(script, want) {
			t.Errorf("the script for %s lacks %q", shell, want)
		}
		if help := said(t, "completion", shell, "--help"); !strings.Contains(help, "feedmux completion "+shell+" >") {
			t.Errorf("the help for %s does not say how to install it:\n%s", shell, help)
		}
	}
	// What the scripts ask when TAB is pressed.
	var words, errs bytes.Buffer
	if code := run(t.Context(), []string{"__complete", "ch"}, &words, &errs); code != 0 || !strings.HasPrefix(words.String(), "check\t") {
		t.Errorf("ch is completed to %q, exit %d", words.String(), code)
	}
}
