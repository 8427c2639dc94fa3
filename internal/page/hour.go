package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"feedmux/internal/diagnosis"
	"feedmux/internal/history"
)

// A plot is columns wide, each for as long as step; what is drawn moves only when a column is full.
const (
	columns = 240
	step    = history.Length / columns
	height  = 40
)

// hourView is the last hour of a feed.
type hourView struct {
	From, To time.Time
	Since    moment // from when on anything is known, where that is less than an hour
	Plots    []plotView
	Rows     []rowView
}

// plotView is a rate, drawn.
type plotView struct {
	Name       string
	Grade      diagnosis.Grade
	Now, Most  string // a second
	Line, Area string // paths in a box of columns × height
	Total      uint64
}

// rowView is the times at which one thing went wrong.
type rowView struct {
	Kind  history.Kind
	What  string
	N     uint64
	Last  moment
	Marks []markView
}

// markView is a while in which something went wrong, in seconds of the hour.
type markView struct {
	X, W     float64
	Text     string
	from, to time.Time
	n        uint64
}

func hour(samples []history.Sample, now time.Time) hourView {
	to := now.Truncate(step).Add(step)
	h := hourView{From: to.Add(-history.Length), To: to}
	if len(samples) > 0 && samples[0].From.After(h.From.Add(step)) {
		h.Since = at(samples[0].From, now)
	}
	for len(samples) > 0 && !samples[0].To.After(h.From) {
		samples = samples[1:] // oldest first: it is not of this hour any more
	}
	dropped := func(s history.Sample) (n uint64) {
		for _, i := range s.Incidents {
			if i.Kind == history.Dropped {
				n += i.N
			}
		}
		return n
	}
	h.Plots = []plotView{
		plot("received", diagnosis.Note, samples, h.From, func(s history.Sample) uint64 { return s.Events }),
		plot("published", diagnosis.Note, samples, h.From, func(s history.Sample) uint64 { return s.Published }),
		plot("dropped", diagnosis.Bad, samples, h.From, dropped),
	}
	h.Rows = rows(samples, h.From, now)
	return h
}

// plot spreads each sample evenly over its time, and draws what falls into each column; what is not known is left out.
func plot(name string, grade diagnosis.Grade, samples []history.Sample, from time.Time, value func(history.Sample) uint64) plotView {
	var sum, known [columns]float64 // events; seconds
	p := plotView{Name: name, Grade: grade, Now: "0"}
	for _, s := range samples {
		length := s.To.Sub(s.From).Seconds()
		if length <= 0 {
			continue
		}
		p.Total += value(s)
		p.Now = rate(float64(value(s)) / length)
		a, b := s.From.Sub(from).Seconds(), s.To.Sub(from).Seconds()
		for i := max(0, int(a/step.Seconds())); i < columns; i++ {
			left := float64(i) * step.Seconds()
			if left >= b {
				break
			}
			share := min(b, left+step.Seconds()) - max(a, left)
			sum[i] += float64(value(s)) * share / length
			known[i] += share
		}
	}
	most := 0.0
	for i := range sum {
		if known[i] > 0 {
			sum[i] /= known[i]
			most = max(most, sum[i])
		}
	}
	if p.Most = rate(most); most == 0 {
		p.Grade = diagnosis.Note
	}
	p.Line, p.Area = draw(sum[:], known[:], most)
	return p
}

// draw makes paths, one piece for each stretch that is known.
func draw(rates, known []float64, most float64) (line, area string) {
	var l, a strings.Builder
	for i := 0; i < columns; i++ {
		if known[i] == 0 {
			continue
		}
		first := i
		for ; i < columns && known[i] > 0; i++ {
			y := height - 1.0
			if most > 0 {
				y -= rates[i] / most * (height - 3)
			}
			at := fmt.Sprintf("%d %s", i, figure(y))
			if i == first {
				fmt.Fprintf(&l, "M%sh.5", at)
				fmt.Fprintf(&a, "M%d %dL%s", i, height, at)
				continue
			}
			fmt.Fprintf(&l, "L%s", at)
			fmt.Fprintf(&a, "L%s", at)
		}
		fmt.Fprintf(&l, "h.5")
		fmt.Fprintf(&a, "h.5V%dZ", height)
	}
	return l.String(), a.String()
}

func figure(y float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Round(y*10)/10), ".0")
}

// rows are disconnects first, then gaps, then what was dropped; those of a kind by how often they occurred.
func rows(samples []history.Sample, from, now time.Time) []rowView {
	var all []rowView
	for _, s := range samples {
		for _, i := range s.Incidents {
			at := slices.IndexFunc(all, func(r rowView) bool { return r.Kind == i.Kind && r.What == i.What })
			if at < 0 {
				at = len(all)
				all = append(all, rowView{Kind: i.Kind, What: i.What})
			}
			all[at].add(s, i.N)
		}
	}
	for i := range all {
		all[i].finish(from, now)
	}
	order := []history.Kind{history.Disconnect, history.Gap, history.DeliveryGap, history.Dropped}
	slices.SortFunc(all, func(a, b rowView) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(b.N, a.N),
			strings.Compare(a.What, b.What))
	})
	return all
}

// add makes one mark of samples that follow each other.
func (r *rowView) add(s history.Sample, n uint64) {
	r.N += n
	if last := len(r.Marks) - 1; last >= 0 && !s.From.After(r.Marks[last].to) {
		r.Marks[last].to = s.To
		r.Marks[last].n += n
		return
	}
	r.Marks = append(r.Marks, markView{from: s.From, to: s.To, n: n})
}

// narrowest is how many seconds of the hour a mark takes at least, so that it can be seen.
const narrowest = 12

func (r *rowView) finish(from, now time.Time) {
	for i := range r.Marks {
		m := &r.Marks[i]
		m.X = math.Round(max(0, m.from.Sub(from).Seconds()))
		m.W = max(narrowest, math.Round(m.to.Sub(from).Seconds())-m.X)
		m.Text = fmt.Sprintf("%s to %s: %s", m.from.Local().Format("15:04:05"), m.to.Local().Format("15:04:05"), diagnosis.Count(m.n))
		r.Last = at(m.to, now)
	}
}
