package dialects

import (
	"fmt"
	"slices"
	"strings"

	"feedmux/internal/config"
	"feedmux/internal/daemon/dialect"
	"feedmux/internal/protocol"
	"feedmux/internal/subject"
	"feedmux/shard"
)

// checkSubjects looks for topics whose events could not be told apart.
func checkSubjects(c *config.Config, report config.Report) {
	all := claims{report: report, owners: make(map[string]string)}
	for _, f := range c.Feeds {
		all.add(f)
	}
	all.meet()
}

// claims are the subjects on which feeds publish.
type claims struct {
	report   config.Report
	owners   map[string]string // whose a subject is that one topic alone may have
	patterns []claim           // subjects that events choose among
	plain    []claim           // those of owners, in order
}

type claim struct {
	feed    *config.Feed
	subject string // or a pattern
	owner   string // for people
}

// add claims what f publishes on, and reports what f may not claim.
func (c *claims) add(f *config.Feed) {
	d, err := Of(f)
	if err != nil {
		return // told by itself
	}
	key := f.Key + ".subject"
	subjects, err := d.SubjectsOf(f)
	if err != nil {
		c.report(key, "%v", err)
		return
	}
	p, err := d.New(f, nil)
	if err != nil {
		return
	}
	template := subjects.Template()
	filters := p.Limits().Answers == protocol.Unasked
	if !filters && !template.HasTopic() && !d.tellsApart(template) {
		c.report(key, "{topic} or {%s} is needed: else all topics would have one subject", d.distinct)
		return
	}
	var wanted []shard.Wanted
	if d.claims != nil {
		wanted = d.claims(f)
	} else {
		wanted = slices.DeleteFunc(dialect.Wanted(f), func(w shard.Wanted) bool {
			return p.Check(protocol.Topic{Name: w.Topic, Options: w.Options}) != nil // it will be refused
		})
	}
	places := d.places(f)
	mine := make(map[string]bool) // patterns
	for _, w := range wanted {
		text, err := subjects.Topic(w)
		if err == nil && filters {
			text, err = template.Pattern(f.Name, string(w.Topic)) // with a * for all that an event may say
		}
		at := fmt.Sprintf("%s.topics[%d]", f.Key, places[w.Topic])
		switch owner, taken := c.owners[text]; {
		case err != nil:
			c.report(at, "%v", err)
		case mine[text]:
		case filters || strings.Contains(text, "*"):
			mine[text] = true
			owner := "an event of feed " + f.Name
			if !filters {
				owner = "a topic of feed " + f.Name
			}
			c.patterns = append(c.patterns, claim{f, text, owner})
		case taken:
			c.report(at, "has the subject %s, which is that of %s", text, owner)
		default:
			owner := fmt.Sprintf("topic %s of feed %s", w.Topic, f.Name)
			c.owners[text] = owner
			c.plain = append(c.plain, claim{f, text, owner})
		}
	}
	if n, ok := p.(protocol.Narrator); ok {
		for _, aside := range n.Asides() {
			if text, err := template.AsidePattern(f.Name, string(aside), d.values); err == nil {
				c.patterns = append(c.patterns, claim{f, text, fmt.Sprintf("%s of feed %s", aside, f.Name)})
			}
		}
	}
}

// meet reports the feeds of which an event might have the subject of another feed, each two of them once.
func (c *claims) meet() {
	type pair struct{ one, other *config.Feed }
	told := make(map[pair]bool)
	hold := func(p claim, against []claim) {
		for _, o := range against {
			if o.feed == p.feed || told[pair{p.feed, o.feed}] || !subject.Meet(p.subject, o.subject) {
				continue
			}
			told[pair{p.feed, o.feed}], told[pair{o.feed, p.feed}] = true, true
			c.report(p.feed.Key+".subject", "%s (%s) may have the subject of %s (%s)", p.owner, p.subject, o.owner, o.subject)
		}
	}
	for i, p := range c.patterns {
		hold(p, c.plain)
		hold(p, c.patterns[:i])
	}
}

// tellsApart says that the template has the variable that {topic} can be left out for.
func (d Dialect) tellsApart(t subject.Template) bool {
	for i, name := range d.Variables {
		if name == d.distinct && t.Has(i) {
			return true
		}
	}
	return false
}

// places is where in f.Topics each topic is listed first, by what it is called.
func (d Dialect) places(f *config.Feed) map[shard.Topic]int {
	at := make(map[shard.Topic]int, len(f.Topics))
	for i, t := range f.Topics {
		name := t.Name
		if d.Label != nil {
			name = d.Label(t)
		}
		if _, listed := at[shard.Topic(name)]; !listed {
			at[shard.Topic(name)] = i
		}
	}
	return at
}
