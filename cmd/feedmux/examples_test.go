package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"feedmux/internal/config"
)

// TestConfigurationsInThePagesAreGood loads every TOML example that people are shown.
func TestConfigurationsInThePagesAreGood(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?s)```toml\n(.*?)```")
	tried := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "[[feed]]") {
				continue // a part of one
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "topics.txt"), []byte("raid.1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Parse(filepath.Join(dir, "config.toml"), []byte(m[1]), loadOptions()); err != nil {
				t.Errorf("%s: %v\n%s", page, err, m[1])
			}
			tried++
		}
	}
	if tried < 2 {
		t.Errorf("only %d examples were found", tried)
	}
}

// TestTheExampleConfigurationIsGood holds the example against all that feedmux checks.
func TestTheExampleConfigurationIsGood(t *testing.T) {
	if code, out, errs := feedmux(t, "check", "--config", "../../config.example.toml"); code != 0 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
