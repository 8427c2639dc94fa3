package check

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// parse reads an expression as Prometheus does.
func parse(expr string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{}).ParseExpr(expr)
}

func engine(t *testing.T) *promql.Engine {
	return promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
}

// value evaluates an expression, and returns its samples.
func (s *storage) value(t *testing.T, e *promql.Engine, expr string) promql.Vector {
	t.Helper()
	q, err := e.NewInstantQuery(t.Context(), s, nil, expr, s.last)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	vector, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(vector)
}

// wantKnown fails for what an expression names that no run shows: metrics, labels, and values that no page has.
func wantKnown(t *testing.T, where string, expr parser.Expr, s *storage, page string) {
	t.Helper()
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			has, shown := s.has[n.Name]
			if !shown {
				t.Errorf("%s: no run shows %s", where, n.Name)
				return nil
			}
			for _, m := range n.LabelMatchers {
				if _, is := has[m.Name]; !is {
					t.Errorf("%s: %s has no label %s", where, n.Name, m.Name)
				}
				switch m.Name {
				case "__name__", "job", "instance", "feed", "account":
				default:
					for _, value := range alternatives(m) {
						if !strings.Contains(page, "`"+value+"`") {
							t.Errorf("%s: %s=%q is not in docs/metrics.md", where, m.Name, value)
						}
					}
				}
			}
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				parser.Inspect(n.Expr, func(node parser.Node, _ []parser.Node) error {
					if v, ok := node.(*parser.VectorSelector); ok && s.has[v.Name] != nil && s.has[v.Name][label] == nil {
						t.Errorf("%s: %s has no label %s to sum by", where, v.Name, label)
					}
					return nil
				})
			}
		}
		return nil
	})
}

// alternatives are the values that a matcher names. All of ours are words, or words with | between them.
func alternatives(m *labels.Matcher) []string {
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		return strings.Split(m.Value, "|")
	}
	return []string{m.Value}
}

func metricsPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// dashboard is what matters here of a dashboard of Grafana.
type dashboard struct {
	SchemaVersion int
	Panels        []panel
	Annotations   struct{ List []struct{ Name, Expr string } }
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               struct{ UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		Expr, LegendFormat string
		Datasource         struct{ UID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../feedmux.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// filled puts in what Grafana does for its variables.
func filled(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$instance", ".*", "$feed", ".*").Replace(expr)
}

func testDashboard(t *testing.T, r runs) {
	d, page, e := readDashboard(t), metricsPage(t), engine(t)
	expressions := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			expressions++
			where := fmt.Sprintf("panel %q", p.Title)
			expr, err := parse(filled(target.Expr))
			if err != nil {
				t.Errorf("%s: %s: %v", where, target.Expr, err)
				continue
			}
			wantKnown(t, where, expr, r.busy, page)
			values := r.busy.value(t, e, filled(target.Expr))
			if !slices.ContainsFunc(values, func(s promql.Sample) bool { return !math.IsNaN(s.F) }) {
				t.Errorf("%s: no data: %s gives %v", where, target.Expr, values)
			}
			for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				for _, s := range values {
					if !s.Metric.Has(m[1]) {
						t.Errorf("%s: the legend wants the label %s, and %v has none", where, m[1], s.Metric)
					}
				}
			}
		}
	}
	if expressions < 25 {
		t.Errorf("the dashboard has %d expressions", expressions)
	}
	for _, a := range d.Annotations.List {
		expr, err := parse(filled(a.Expr))
		if err != nil {
			t.Errorf("annotation %s: %v", a.Name, err)
			continue
		}
		wantKnown(t, "annotation "+a.Name, expr, r.busy, page)
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		if values := r.busy.value(t, e, filled(m[1])); len(values) == 0 || !values[0].Metric.Has(m[2]) {
			t.Errorf("variable %s: %s gives %v", v.Name, m[1], values)
		}
	}
}

func TestTheDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 39 {
		t.Errorf("schema version %d", d.SchemaVersion)
	}
	var at [1000][24]string // what lies where
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: its id is used twice", p.Title)
		}
		ids[p.ID] = true
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				cell := &at[p.GridPos.Y+y][p.GridPos.X+x]
				if *cell != "" {
					t.Fatalf("panels %q and %q lie on each other", p.Title, *cell)
				}
				*cell = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q lacks a description, a unit, an expression or the data source that was chosen", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || target.LegendFormat == "" {
				t.Errorf("panel %q: %s has another data source, or no legend", p.Title, target.Expr)
			}
		}
	}
}

func TestEveryExpressionFitsWhatARunShows(t *testing.T) {
	r := run(t)
	t.Run("dashboard", func(t *testing.T) { testDashboard(t, r) })
	t.Run("healthy", func(t *testing.T) { testHealthyIsReal(t, r) })
	t.Run("alerts", func(t *testing.T) { testAlertsOnRuns(t, r) })
}
