package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"feedmux/internal/config"
	"feedmux/internal/dialects"
)

// defaultConfig is where packages put the configuration.
const defaultConfig = "/etc/feedmux/config.toml"

func checkCommand() *cobra.Command {
	var path string
	var asJSON, explained, quiet bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and print what it would do",
		Long: `Check reads a configuration and prints the plan: for each feed its topics, the
connections that they need, what would be left without a place, how long until all
are confirmed under the dial budget, and a sample subject. It opens no connection.

With --explain it prints every value that counts instead: those of the file and
those that are defaults, where each is from, and whether a reload makes a change of
it count now, for the next life of a connection, or only after a restart. It shows
no secret.

With --quiet it says nothing of a configuration that is good, for scripts and units.

A bad configuration gets all of its problems at once, each with its line and key,
and exit code 78.`,
		Example: "  feedmux check --config config.toml\n  feedmux check --explain --config config.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			cfg, err := loadConfig(path)
			if err != nil && asJSON {
				if err := printJSON(out, map[string]any{"config": path, "problems": problemsOf(path, err)}); err != nil {
					return failed(err)
				}
			}
			if err != nil {
				return failed(err)
			}
			plans, err := planOf(cfg)
			if err != nil {
				return failed(err)
			}
			if quiet {
				return nil
			}
			if asJSON {
				answer := map[string]any{"config": path, "feeds": plans}
				if explained {
					answer["values"] = cfg.Values()
				}
				return failed(printJSON(out, answer))
			}
			if explained {
				return failed(explain(out, cfg.Values()))
			}
			fmt.Fprintf(out, "%s is good.\n", path)
			for _, p := range plans {
				fmt.Fprintln(out)
				if err := p.print(out); err != nil {
					return failed(err)
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `file`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, of problems too")
	c.Flags().BoolVar(&explained, "explain", false, "print every value that counts, and where it is from")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print problems only")
	c.MarkFlagsMutuallyExclusive("quiet", "explain")
	c.MarkFlagsMutuallyExclusive("quiet", "json")
	return c
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// problem is one mistake in a configuration, as JSON has it.
type problem struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: the whole file
	Key  string `json:"key"`  // "": its syntax, or the whole file
	Text string `json:"text"`
}

// problemsOf are those that err, an error of loadConfig of the file at path, is made of.
func problemsOf(path string, err error) []problem {
	var all config.Problems
	if !errors.As(err, &all) {
		return []problem{{File: path, Text: err.Error()}}
	}
	list := make([]problem, len(all))
	for i, p := range all {
		list[i] = problem{p.File, p.Line, p.Key, p.Message}
	}
	return list
}

// loadConfig reads and checks a configuration against all that feedmux can do. Whatever is wrong with it, only somebody
// who edits files can cure.
func loadConfig(path string) (*config.Config, error) {
	return judged(config.Load(path, dialects.LoadOptions()))
}

// loadConfigAgain is loadConfig for a daemon that runs: a pipe in the place of the file is an error, and not waited for.
func loadConfigAgain(path string) (*config.Config, error) {
	return judged(config.LoadAgain(path, dialects.LoadOptions()))
}

func judged(cfg *config.Config, err error) (*config.Config, error) {
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &failure{exitConfig, fmt.Errorf("%w\n%s", err, count(problems.Count(), "problem"))}
	case err != nil:
		return nil, &failure{exitConfig, fmt.Errorf("feedmux: %w", err)}
	}
	return cfg, nil
}
