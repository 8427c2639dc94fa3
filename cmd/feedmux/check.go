package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"feedmux/internal/config"
	"feedmux/internal/dialects"
)

// defaultConfig is where packages put the configuration.
const defaultConfig = "/etc/feedmux/config.toml"

func checkCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and print what it would do",
		Long: `Check reads a configuration and prints the plan: for each feed its topics, the
connections that they need, what would be left without a place, how long until all
are confirmed under the dial budget, and a sample subject. It opens no connection.

A bad configuration gets all of its problems at once, each with its line and key,
and exit code 78.`,
		Example: "  feedmux check --config config.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return failed(err)
			}
			plans, err := planOf(cfg)
			if err != nil {
				return failed(err)
			}
			out := c.OutOrStdout()
			if asJSON {
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				return failed(enc.Encode(map[string]any{"config": path, "feeds": plans}))
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
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// loadConfig reads and checks a configuration against all that feedmux can do. Whatever is wrong with it, only somebody
// who edits files can cure.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path, dialects.LoadOptions())
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &failure{exitConfig, fmt.Errorf("%w\n%s", err, count(len(problems), "problem"))}
	case err != nil:
		return nil, &failure{exitConfig, fmt.Errorf("feedmux: %w", err)}
	}
	return cfg, nil
}
