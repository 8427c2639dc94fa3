package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"feedmux/internal/config/marks"
	"feedmux/internal/config/strict"
)

// decodeAccounts decodes every [account.NAME].
func (l *loader) decodeAccounts(_ *strict.Decoder, at string, v any) {
	tree, ok := v.(map[string]any)
	if !ok {
		l.Report(at, "must be tables with names: write [account.NAME]")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		switch tree[name].(type) {
		case map[string]any, []map[string]any:
		default: // more likely a key of an account without a name
			l.Report(marks.Join(at, name), "must be a table: write [account.NAME]")
			continue
		}
		a := &Account{
			Key: marks.Join(at, name), Name: name,
			Connections: maxConnections, DialRate: usualDials(), InFlight: 1, Hold: usualHold,
		}
		l.accounts = append(l.accounts, a)
		if !feedName.MatchString(name) {
			l.Report(a.Key, "the name must be %s", nameForm)
		}
		l.Value(a.Key, tree[name], field{Table: accountFields(a)})
	}
}

// join finds the account that f names.
func (l *loader) join(f *Feed) {
	if f.Account == "" {
		return
	}
	if f.Shared = l.account(f.Account); f.Shared != nil {
		return
	}
	key := f.Key + ".account"
	name := l.Quote(key, f.Account)
	if len(l.accounts) > 0 {
		known := make([]string, len(l.accounts))
		for i, a := range l.accounts {
			known[i] = a.Name
		}
		l.Report(key, "%s is not one of the accounts of this file: %s", name, strings.Join(known, ", "))
	} else if l.Clean("account") {
		table := "NAME"
		if bare := strings.Trim(name, `"`); feedName.MatchString(bare) { // not so if it comes from a variable
			table = bare
		}
		l.Report(key, "%s has no table: add [account.%s]; all its keys may be left out", name, table)
	}
}

// account is the [account.NAME] of this name, or nil.
func (l *loader) account(name string) *Account {
	for _, a := range l.accounts {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// shareAccounts divides each account among its feeds: it gives the account what depends on them, and them what is the
// account's.
func (l *loader) shareAccounts() {
	mistaken := false // a feed may have meant an account that none names
	feeds := map[*Account][]*Feed{}
	for _, f := range l.feeds {
		mistaken = mistaken || !l.Clean(f.Key+".account")
		if f.Shared != nil {
			feeds[f.Shared] = append(feeds[f.Shared], f)
		}
	}
	for _, a := range l.accounts {
		if len(feeds[a]) == 0 {
			if !mistaken {
				l.Report(a.Key, "no feed names it: add account = %q to those that share it, or take it out", a.Name)
			}
			continue
		}
		l.fitAccount(a, feeds[a])
		for _, f := range feeds[a] {
			l.takeOver(f)
		}
		l.checkShares(a, feeds[a])
	}
}

// fitAccount holds the figures of a against the protocols of its feeds, and against each other.
func (l *loader) fitAccount(a *Account, feeds []*Feed) {
	ceilingOf := func(f *Feed) int { return l.protocol(f.Protocol).Connections }
	tightest := slices.MinFunc(feeds, func(f, g *Feed) int { return ceilingOf(f) - ceilingOf(g) })
	key, ceiling := a.Key+".connections", ceilingOf(tightest)
	if !l.Has(key) {
		a.Connections = ceiling
	} else if a.Connections > ceiling && l.Clean(key) {
		l.Report(key, "%d is more than %d, the most that %s allows, the protocol of %s",
			a.Connections, ceiling, tightest.Protocol, tightest.label())
	}
	if a.InFlight > a.Connections {
		l.Report(a.Key+".in_flight", "%d is more than %d, the connections of this account", a.InFlight, a.Connections)
	}
}

// takeOver makes what is the account's that of f. f may not have it of its own.
func (l *loader) takeOver(f *Feed) {
	for _, key := range []struct{ feed, account string }{
		{"dial.rate", "dial_rate"}, {"dial.in_flight", "in_flight"}, {"limits.hold", "hold"},
	} {
		if at := f.Key + "." + key.feed; l.Has(at) {
			l.Report(at, "is the account's: set %s.%s", f.Shared.Key, key.account)
		}
	}
	f.Dial.Rate, f.Dial.InFlight, f.Limits.Hold = f.Shared.DialRate, f.Shared.InFlight, f.Shared.Hold
}

// checkShares looks at which part of a each of its feeds may use: all of it if there is but one.
func (l *loader) checkShares(a *Account, feeds []*Feed) {
	sum := 0
	var shares, whose []string
	for _, f := range feeds {
		key := f.Key + ".limits.connections"
		switch {
		case !l.Clean(key): // told already
		case l.Has(key):
			sum += f.Limits.Connections
			shares, whose = append(shares, strconv.Itoa(f.Limits.Connections)), append(whose, f.label())
		case len(feeds) == 1:
			f.Limits.Connections = a.Connections
		default:
			l.Report(key, "is missing: which share of the %s of %s, which has %s, is this feed's?",
				plural(a.Connections, "connection"), a.Key, plural(len(feeds), "feed"))
		}
	}
	if sum > a.Connections {
		l.Report(a.Key+".connections", "%s is more than %d: the shares (limits.connections) of %s",
			strings.Join(shares, " + "), a.Connections, strings.Join(whose, " and "))
	}
}

// checkAccounts says what each feed's account is called where it has one to itself, and looks for feeds that the
// upstream counts together although the file does not say so.
func (l *loader) checkAccounts(feeds []*Feed) {
	var order []string
	together := map[string][]*Feed{} // by what the protocol says
	for _, f := range feeds {
		account := l.opts.Protocols[f.Protocol].Account
		switch {
		case !l.Clean(f.Key + ".account"):
			continue
		case account != nil:
			name := account(f)
			if together[name] == nil {
				order = append(order, name)
			}
			together[name] = append(together[name], f)
			if f.Shared == nil {
				f.Account = name
			}
		case f.Shared == nil:
			f.Account = f.Name
		}
		if a := l.account(f.Account); a != nil && f.Shared == nil {
			l.Report(a.Key, "is what the account of %s is called already: choose another name", f.label())
		}
	}
	for _, name := range order {
		l.checkTogether(name, together[name])
	}
}

// checkTogether reports those of the feeds that the upstream counts together, as name, which are not of one account.
func (l *loader) checkTogether(name string, feeds []*Feed) {
	first := feeds[max(0, slices.IndexFunc(feeds, func(f *Feed) bool { return f.Shared != nil }))]
	for _, f := range feeds {
		if f == first || (f.Shared != nil && f.Shared == first.Shared) {
			continue
		}
		key := f.Key
		if f.Shared != nil {
			key += ".account"
		}
		l.Report(key, "%q is counted by the upstream together with %s (account %q); %s",
			f.Name, first.label(), name, l.howToShare(first, f))
	}
}

// howToShare says what to write so that f and first are of one account.
func (l *loader) howToShare(first, f *Feed) string {
	connections := min(l.protocol(first.Protocol).Connections, l.protocol(f.Protocol).Connections)
	switch {
	case connections == 1:
		return "one connection is all that there may be: put the topics of both into one feed"
	case f.Shared != nil:
		return fmt.Sprintf("both must name one account, not %q and %q", first.Account, f.Account)
	case first.Shared != nil:
		return fmt.Sprintf("to share it, add account = %q and this feed's share as limits.connections", first.Account)
	}
	for _, a := range l.accounts {
		if !slices.ContainsFunc(l.feeds, func(f *Feed) bool { return f.Shared == a }) {
			return fmt.Sprintf("to share it, add account = %q to both, and to each its share as limits.connections", a.Name)
		}
	}
	name := first.Protocol
	if l.account(name) != nil {
		name = first.Name // no feed has the name of another
	}
	return fmt.Sprintf("to share it, add a table [account.%s] with connections = %d, and to both feeds account = %q "+
		"and a share of the %d as limits.connections", name, connections, name, connections)
}

// label shows which feed f is.
func (f *Feed) label() string {
	if f.Name == "" { // it has none, or a wrong one
		return f.Key
	}
	return fmt.Sprintf("%s %q", f.Key, f.Name)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
