package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"feedmux/internal/config"
	"feedmux/internal/control/local"
	"feedmux/internal/dialects"
)

// pairs has two values of every key that a configuration may have: a daemon that runs by one is told of the other. "" is
// nothing at all. with are lines that both have, of the same table.
var pairs = map[string]struct{ old, now, with string }{
	"nats.url":                {``, `"nats://127.0.0.1:1"`, ``},
	"nats.name":               {`"a"`, `"b"`, ``},
	"nats.buffer":             {`"16MiB"`, `"8MiB"`, ``},
	"nats.headers":            {`"minimal"`, `"full"`, ``},
	"nats.delivery":           {``, `"core"`, ``}, // there is but one
	"nats.context":            {``, `"prod"`, ``},
	"nats.creds_file":         {``, `"c"`, `nats.url = "nats://127.0.0.1:1"`},
	"nats.nkey_file":          {``, `"k"`, `nats.url = "nats://127.0.0.1:1"`},
	"nats.user":               {`"u"`, `"v"`, "nats.url = \"nats://127.0.0.1:1\"\nnats.password_file = \"p\""},
	"nats.password_file":      {`"p"`, `"q"`, "nats.url = \"nats://127.0.0.1:1\"\nnats.user = \"u\""},
	"nats.token_file":         {``, `"t"`, `nats.url = "nats://127.0.0.1:1"`},
	"nats.tls.ca_file":        {``, `"ca.pem"`, `nats.url = "nats://127.0.0.1:1"`},
	"nats.tls.cert_file":      {`"c"`, `"d"`, "nats.url = \"nats://127.0.0.1:1\"\nnats.tls.key_file = \"k\""},
	"nats.tls.key_file":       {`"k"`, `"l"`, "nats.url = \"nats://127.0.0.1:1\"\nnats.tls.cert_file = \"c\""},
	"nats.tls.first":          {``, `true`, `nats.url = "nats://127.0.0.1:1"`},
	"nats.embedded.listen":    {`""`, `"127.0.0.1:0"`, ``},
	"nats.embedded.store_dir": {``, `"store"`, ``},
	"http.listen":             {`""`, `"127.0.0.1:0"`, ``},
	"http.ready":              {`0.9`, `0.5`, ``},
	"http.pprof":              {``, `true`, ``},
	"log.level":               {`"info"`, `"error"`, ``},
	"log.format":              {``, `"json"`, ``},

	"account.NAME.connections": {`5`, `6`, ``},
	"account.NAME.dial_rate":   {``, `"1/3s"`, ``},
	"account.NAME.in_flight":   {``, `2`, ``},
	"account.NAME.hold":        {``, `"20s"`, ``},

	"feed.name":                         {`"a"`, `"c"`, ``},
	"feed.protocol":                     {`"twitch-pubsub"`, `"scaiwave"`, ``},
	"feed.url":                          {`"wss://a.invalid/v1/stream"`, `"wss://c.invalid/v1/stream"`, ``},
	"feed.account":                      {``, `"y"`, ``},
	"feed.topics":                       {`["raid.1"]`, `["raid.2"]`, ``},
	"feed.topics.topic":                 {`[{ topic = "raid.1" }]`, `[{ topic = "raid.2" }]`, ``},
	"feed.topics.priority":              {`["raid.1"]`, `[{ topic = "raid.1", priority = 3 }]`, ``},
	"feed.topics_file":                  {``, `"topics.txt"`, ``},
	"feed.subject":                      {``, `"feed.other.{topic}"`, ``},
	"feed.payload":                      {``, `"frame"`, ``},
	"feed.overflow":                     {``, `"turns"`, ``},
	"feed.dwell":                        {``, `"2m"`, ``},
	"feed.placement":                    {``, `"spread"`, ``},
	"feed.max_message":                  {``, `"2MiB"`, ``},
	"feed.max_age":                      {``, `"1h"`, ``},
	"feed.proxy":                        {``, `"http://127.0.0.1:1"`, ``},
	"feed.local_address":                {``, `"127.0.0.1"`, ``},
	"feed.tls.ca_file":                  {``, `"ca.pem"`, ``},
	"feed.tls.server_name":              {``, `"other.invalid"`, ``},
	"feed.limits.connections":           {``, `3`, ``},
	"feed.limits.topics_per_connection": {``, `7`, ``},
	"feed.limits.reserve":               {``, `1`, ``},
	"feed.limits.hold":                  {``, `"20s"`, ``},
	"feed.limits.subscribe_batch":       {``, `3`, ``},
	"feed.limits.subscribe_rate":        {``, `"7/1s"`, ``},
	"feed.dial.rate":                    {``, `"1/3s"`, ``},
	"feed.dial.in_flight":               {``, `2`, ``},
	"feed.dial.timeout":                 {``, `"3s"`, ``},
	"feed.ping.interval":                {``, `"50s"`, ``},
	"feed.ping.jitter":                  {``, `0.2`, ``},
	"feed.ping.timeout":                 {``, `"5s"`, ``},
	"feed.ping.silence":                 {``, `"90s"`, ``},
	"feed.backoff.base":                 {``, `"2s"`, ``},
	"feed.backoff.max":                  {``, `"1m"`, ``},
	"feed.backoff.settle":               {``, `"30s"`, ``},
	"feed.auth.file":                    {`"t"`, `"u"`, ``},
	"feed.auth.env":                     {`"T"`, `"U"`, ``},
	"feed.auth.command":                 {`["true"]`, `["false"]`, ``},
	"feed.auth.refresh_before":          {``, `"1m"`, `auth.env = "T"`},
	"feed.auth.token.file":              {`"t"`, `"u"`, ``},
	"feed.auth.token.env":               {`"T"`, `"U"`, ``},
	"feed.auth.token.command":           {`["true"]`, `["false"]`, ``},
	"feed.auth.token.refresh_before":    {``, `"1m"`, `auth.token.env = "T"`},
	"feed.options":                      {`{ tenant = "t" }`, `{ tenant = "u" }`, `protocol = "scaiwave"`},
}

// oddities are keys whose change shows otherwise than by themselves.
var oddities = map[string]string{
	"feed.name":     "feed.a", // a feed that goes, and another one that comes
	"nats.delivery": "",       // no two values are different
}

// configuration is a text in which a key has a value.
func configuration(key, value, with string) string {
	root := map[string]string{"nats.name": `"a"`, "nats.embedded.listen": `""`, "http.listen": `""`, "account.x.connections": "5"}
	feed := map[string]string{"name": `"a"`, "protocol": `"twitch-pubsub"`, "url": `"wss://a.invalid/v1/stream"`, "topics": `["raid.1"]`}
	part, short := root, strings.Replace(key, ".NAME.", ".x.", 1)
	if in, ok := strings.CutPrefix(key, "feed."); ok {
		part, short = feed, in
	}
	switch short {
	case "topics.topic", "topics.priority":
		short = "topics"
	case "account":
		if value != "" {
			root["account.y.connections"] = "10"
		}
	}
	part[short] = value
	for line := range strings.Lines(with) {
		name, value, _ := strings.Cut(line, " = ")
		part[name] = strings.TrimSpace(value)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(feed)), func(k string) bool { return strings.HasPrefix(k, "auth.") }) {
		feed["auth.env"] = `"T"`
	}
	var b strings.Builder
	lines := func(table map[string]string) {
		for _, k := range slices.Sorted(maps.Keys(table)) {
			if table[k] != "" {
				fmt.Fprintf(&b, "%s = %s\n", k, table[k])
			}
		}
	}
	lines(root)
	b.WriteString("[[feed]]\n")
	lines(feed)
	b.WriteString("[[feed]]\nname = \"b\"\nprotocol = \"twitch-pubsub\"\nurl = \"wss://b.invalid\"\naccount = \"x\"\ntopics = [\"raid.1\"]\n")
	return b.String()
}

// folder has what the configurations name.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"topics.txt": "raid.3\n", "ca.pem": authority(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func load(t *testing.T, dir, key, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(dir, "config.toml"), []byte(text), dialects.LoadOptions())
	if err != nil {
		t.Fatalf("%s: %v\n%s", key, err, text)
	}
	return c
}

// shownKey is the key as changes show it.
func shownKey(key string) string {
	if as, odd := oddities[key]; odd {
		return as
	}
	for _, part := range [][2]string{
		{"account.NAME", "account.x"}, {"feed.", "feed.a."}, {".auth.token.", ".auth."}, {".topics.topic", ".topics"}, {".topics.priority", ".topics"},
	} {
		key = strings.Replace(key, part[0], part[1], 1)
	}
	if key == "feed.a.options" {
		return key + ".tenant"
	}
	return key
}

func TestEveryKeyHasTwoValuesToBeTriedWith(t *testing.T) {
	for _, k := range config.Keys() {
		if _, ok := pairs[k.Path]; !ok {
			t.Errorf("%s is not in the table", k.Path)
		}
	}
	if n := len(config.Keys()); len(pairs) != n {
		t.Errorf("the table has %d keys, there are %d", len(pairs), n)
	}
}

// What a reload takes of a feed and what the configuration says of its keys are written apart: here they are one.
func TestAReloadTakesOfAFeedWhatNeedNotWait(t *testing.T) {
	dir := folder(t)
	for _, k := range config.Keys() {
		pair := pairs[k.Path]
		if k.Path == "feed.name" {
			continue // that is another feed
		}
		runs, loaded := load(t, dir, k.Path, configuration(k.Path, pair.old, pair.with)), load(t, dir, k.Path, configuration(k.Path, pair.now, pair.with))
		counts := *loaded
		counts.NATS, counts.HTTP.Listen, counts.HTTP.Pprof, counts.Log.Format = runs.NATS, runs.HTTP.Listen, runs.HTTP.Pprof, runs.Log.Format
		counts.Accounts = runs.Accounts
		counts.Feeds = nil
		for i, f := range loaded.Feeds {
			counts.Feeds = append(counts.Feeds, reloadedFeed(runs.Feeds[i], f))
		}
		now, later := config.Diff(runs, &counts), config.Diff(&counts, loaded)
		for _, c := range now {
			if c.Reach == config.Restart {
				t.Errorf("%s: taken at once: %+v", k.Path, c)
			}
		}
		for _, c := range later {
			if c.Reach != config.Restart {
				t.Errorf("%s: not taken: %+v", k.Path, c)
			}
		}
		if len(now)+len(later) == 0 && k.Path != "nats.delivery" {
			t.Errorf("%s: the two configurations are the same", k.Path)
		}
	}
}

// running is a Daemon that runs, and loads what the test says.
type running struct {
	*Daemon
	t     *testing.T
	dir   string // of its configuration
	level slog.LevelVar
	log   lines
	next  func() (*config.Config, error)
	end   func()
}

func runDaemon(t *testing.T, dir, text string) *running {
	t.Helper()
	return runDaemonIn(t, dir, t.TempDir(), text)
}

func runDaemonIn(t *testing.T, dir, stateDir, text string) *running {
	t.Helper()
	r := &running{t: t, dir: dir}
	r.loads(text)
	first, err := r.next()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r.Daemon, err = New(Options{
		Config: first, Dir: stateDir, Path: filepath.Join(dir, "config.toml"), Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: &r.level})),
		Dialects: dialects.Daemon(), LoadOptions: dialects.LoadOptions(), Level: &r.level,
		Load: func() (*config.Config, error) { return r.next() },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- r.Run(ctx, func() { close(ready) }) }()
	<-ready
	r.end = func() {
		cancel()
		if ended == nil {
			return
		}
		if err := <-ended; err != nil {
			t.Errorf("the daemon: %v", err)
		}
		ended = nil
	}
	t.Cleanup(r.end)
	return r
}

// loads says what the next reload reads.
func (r *running) loads(text string) {
	r.next = func() (*config.Config, error) {
		return config.Parse(filepath.Join(r.dir, "config.toml"), []byte(text), dialects.LoadOptions())
	}
}

// reloads lets the daemon read text, which must be good.
func (r *running) reloads(text string) local.ReloadResult {
	r.t.Helper()
	r.loads(text)
	result, err := r.Reload(r.t.Context(), "the test")
	if err != nil || len(result.Problems) > 0 {
		r.t.Fatalf("%v %q\n%s", err, result.Problems, text)
	}
	return result
}

func (r *running) logged() string {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return string(r.log.text)
}

func has(list []local.ChangeLine, key string) bool {
	return slices.ContainsFunc(list, func(c local.ChangeLine) bool { return c.Key == key })
}

func TestTheAnswerOfAReloadSaysOfEveryKeyWhenItCounts(t *testing.T) {
	dir := folder(t)
	base := configuration("", "", "")
	r := runDaemon(t, dir, base)
	for _, k := range config.Keys() {
		pair, key := pairs[k.Path], shownKey(k.Path)
		if key == "" {
			continue
		}
		r.reloads(base) // so that every feed is as it began
		r.reloads(configuration(k.Path, pair.old, pair.with))
		got := r.reloads(configuration(k.Path, pair.now, pair.with))
		want := k.Reach
		if k.Path == "feed.name" {
			want = config.Now
		}
		in := map[config.Reach]bool{config.Now: has(got.Applied, key), config.NextLife: has(got.NextLife, key), config.Restart: has(got.Restart, key)}
		for reach, is := range in {
			if is != (reach == want) {
				t.Errorf("%s: that it counts %q is said: %v, want %v\n%+v", k.Path, reach, is, reach == want, got)
			}
		}
		if want != config.Restart {
			continue
		}
		again := r.reloads(configuration(k.Path, pair.now, pair.with))
		notes := strings.Join(r.notes(), "\n")
		if !slices.Equal(again.Restart, got.Restart) || len(again.Applied)+len(again.NextLife) > 0 {
			t.Errorf("%s: a reload later: %+v", k.Path, again)
		}
		for _, c := range got.Restart {
			if !strings.Contains(notes, "waits for a restart: "+c.Key) {
				t.Errorf("%s: the notes are %q", k.Path, notes)
			}
		}
	}
	if got := r.reloads(base); len(got.Restart) > 0 {
		t.Errorf("as it began: %+v", got)
	}
	if text := r.logged(); !strings.Contains(text, `msg=reloaded by="the test"`) {
		t.Errorf("who asked is not in the log:\n%.2000s", text)
	}
}
