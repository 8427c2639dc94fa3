package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/protocol"
	"feedmux/internal/protocol/pubsub"
	"feedmux/internal/secret"
	"feedmux/internal/subject"
	"feedmux/shard"
)

// This is the only file that knows every protocol. To add one, add it to protocols and to newProtocol.

// protocols are those that a feed may name, with what the configuration must know of each.
func protocols() map[string]config.Protocol {
	return map[string]config.Protocol{
		"twitch-pubsub": {
			URL:                 pubsub.DefaultURL,
			Connections:         pubsub.Connections,
			TopicsPerConnection: pubsub.TopicsPerConnection,
			SubscribeBatch:      pubsub.SubscribeBatch,
			Ping:                pubsub.PingInterval,
			Account:             hostOf, // Twitch counts by address: all that goes to one host from here
			Check: func(f *config.Feed, report config.Report) {
				p := pubsub.New(pubsub.DecodeOptions(f.Options, report))
				checkTopics(p, f, report)
				checkPace(f, report)
			},
		},
	}
}

// newProtocol makes the protocol of a feed whose configuration was checked. s is the feed's secret, or nil.
func newProtocol(f *config.Feed, s *secret.Secret) (protocol.Protocol, error) {
	switch f.Protocol {
	case "twitch-pubsub":
		o := pubsub.DecodeOptions(f.Options, func(string, string, ...any) {}) // the configuration was checked
		o.URL = f.URL
		if s != nil {
			o.Token = func(context.Context) (string, error) { return s.Value() }
		}
		return pubsub.New(o), nil
	}
	return nil, fmt.Errorf("feed %s: protocol %q is not known", f.Name, f.Protocol)
}

func checkTopics(p protocol.Protocol, f *config.Feed, report config.Report) {
	for i, t := range f.Topics {
		if err := p.Check(shard.Topic(t.Name)); err != nil {
			report(fmt.Sprintf("topics[%d]", i), "%v", err)
		}
	}
}

// checkPace looks for a subscribe rate that pings alone would use up: they count in it, and go first.
func checkPace(f *config.Feed, report config.Report) {
	rate, every := f.Limits.SubscribeRate, f.Ping.Interval
	if time.Duration(rate.N)*every < 2*rate.Per {
		report("limits.subscribe_rate", "%s leaves no room beside a ping each %s: at least two messages in that time are needed",
			rate, every)
	}
}

func hostOf(f *config.Feed) string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return f.Name // a URL that is wrong is told by itself
	}
	return u.Host
}

// loadConfig reads and checks a configuration against all that feedmux can do. Whatever is wrong with it, only somebody
// who edits files can cure.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path, loadOptions())
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &failure{exitConfig, fmt.Errorf("%w\n%s", err, count(len(problems), "problem"))}
	case err != nil:
		return nil, &failure{exitConfig, fmt.Errorf("feedmux: %w", err)}
	}
	return cfg, nil
}

func loadOptions() config.LoadOptions {
	return config.LoadOptions{Protocols: protocols(), Check: checkSubjects}
}

// checkSubjects looks for topics whose events could not be told apart.
func checkSubjects(c *config.Config, report config.Report) {
	owners := make(map[string]string) // whose a subject is
	for _, f := range c.Feeds {
		template, err := subject.Parse(f.Subject)
		if err != nil {
			report(f.Key+".subject", "%v", err)
			continue
		}
		for i, t := range f.Topics {
			key := fmt.Sprintf("%s.topics[%d]", f.Key, i)
			subject, err := template.Subject(f.Name, t.Name)
			switch owner, taken := owners[subject]; {
			case err != nil:
				report(key, "%v", err)
			case taken:
				report(key, "has the subject %s, which is that of %s", subject, owner)
			default:
				owners[subject] = fmt.Sprintf("topic %s of feed %s", t.Name, f.Name)
			}
		}
	}
}
