package main

import (
	"strings"
	"testing"
)

func TestWrongUsageLeadsToTheHelpOfTheCommand(t *testing.T) {
	for want, args := range map[string][]string{
		"feedmux":              {"chekc"},
		"feedmux check":        {"check", "--confg", "x"},
		"feedmux run":          {"run", "x"},
		"feedmux tail":         {"tail"},
		"feedmux topics":       {"topics", "lst"},
		"feedmux topics add":   {"topics", "add", "twitch"},
		"feedmux status":       {"status", "--wach"},
		"feedmux sim kite":     {"sim", "kite", "--refuse", "2"},
		"feedmux demo":         {"demo", "--topics", "0"},
		"feedmux topics set":   {"topics", "set", "f", "t", "--none"},
		"feedmux renew":        {"renew", ""},
		"feedmux sim scaiwave": {"sim", "scaiwave", "--rate", "many"},
	} {
		code, _, errs := feedmux(t, args...)
		if code != exitUsage || !strings.HasSuffix(errs, "\nTry \""+want+" --help\".\n") {
			t.Errorf("%q: exit %d: %s", args, code, errs)
		}
	}
	if _, _, errs := feedmux(t, "tail"); !strings.HasPrefix(errs, "feedmux: tail needs FEED: feedmux tail FEED [TOPIC…] [flags]\n") {
		t.Errorf("what is missing is not said: %s", errs)
	}
}

func TestShellsAreOfferedFilesWhereAFileMayStand(t *testing.T) {
	const files, noFiles = ":0\n", ":4\n"
	for args, want := range map[string]string{
		"check ": noFiles, "check x": noFiles, "run ": noFiles, "demo ": noFiles, "man ": noFiles, "version ": noFiles, "reload ": noFiles,
		"sim kite ": noFiles, "status --watch a b ": noFiles, "topics ": noFiles,
		"check --config ": files, "run -c ": files, "status --socket ": files, "man --dir ": files,
	} {
		t.Setenv("FEEDMUX_SOCKET", t.TempDir()+"/none.sock")
		_, out, _ := feedmux(t, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if !strings.HasSuffix(out, want) {
			t.Errorf("%q: %q, want %q", args, out, want)
		}
	}
}

func TestTheCompletionForBashSaysWhatItNeeds(t *testing.T) {
	if help := said(t, "completion", "bash", "--help"); !strings.Contains(help, "bash-completion") {
		t.Errorf("the help does not name the package that the script needs:\n%s", help)
	}
}
