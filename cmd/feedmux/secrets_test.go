package main

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"feedmux/internal/sim/twitch"
	"feedmux/internal/sim/websocket"
)

// planted is a part of every secret in these tests, and of nothing else.
const planted = "PLANTED"

// The secrets. Each is whatever a URL, a header and a JSON string take as it is.
const (
	plantedToken    = planted + "-token-6f1c"
	plantedNext     = planted + "-next-token-77d0"
	plantedEnv      = planted + "-env-token-09ab"
	plantedUser     = planted + "-user-51e3"
	plantedPassword = planted + "-password-d2c8"
	plantedQuery    = planted + "-query-a4f7"
	plantedNATSUser = planted + "-nats-user-38b9"
	plantedNATSPass = planted + "-nats-password-e5a6"
)

// parrot is an upstream that repeats every secret that it was told, in one of the ways in which a server can speak.
type parrot struct {
	net.Listener
	speak func(p *parrot, nc net.Conn, key string, r *bufio.Reader)

	mu    sync.Mutex
	heard strings.Builder
	calls int
	token string // that it knows from elsewhere
}

// basic is user-info as it goes over the wire.
var basic = base64.StdEncoding.EncodeToString([]byte(plantedUser + ":" + plantedPassword))

// repeats is what a parrot knows of the one who calls: what every handshake holds, and its token.
func (p *parrot) repeats(token string) string {
	return strings.Join([]string{token, plantedUser, plantedPassword, plantedQuery, basic}, " ")
}

// knows is the token that the parrot knows before it is told.
func (p *parrot) knows() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token
}

func (p *parrot) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token = ""
}

// parrots are the ways to speak, by the names of the feeds that hear them.
var parrots = map[string]func(p *parrot, nc net.Conn, key string, r *bufio.Reader){
	"status": func(p *parrot, nc net.Conn, _ string, _ *bufio.Reader) {
		all := p.repeats(p.knows())
		fmt.Fprintf(nc, "HTTP/1.1 503 %s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s", all, all, len(all), all)
	},
	"dead": func(p *parrot, nc net.Conn, _ string, _ *bufio.Reader) {
		all := p.repeats(p.knows())
		fmt.Fprintf(nc, "HTTP/1.1 401 %s\r\nWWW-Authenticate: Bearer realm=%q\r\nContent-Length: %d\r\n\r\n%s",
			all, all, len(all), all)
	},
	"redirect": func(p *parrot, nc net.Conn, _ string, _ *bufio.Reader) {
		fmt.Fprintf(nc, "HTTP/1.1 302 Found\r\nLocation: ws://%s:%s@example.com/%s/%s/x?key=%s#%s\r\nContent-Length: 0\r\n\r\n",
			plantedUser, plantedPassword, plantedQuery, p.knows(), plantedQuery, plantedQuery)
	},
	"rejected": func(p *parrot, nc net.Conn, key string, _ *bufio.Reader) {
		answer := strings.TrimSuffix(string(websocket.SwitchingProtocols(key)), "\r\n")
		fmt.Fprintf(nc, "%sSec-WebSocket-Protocol: %s%s\r\n\r\n", answer, plantedQuery, p.knows())
	},
	"nonsense": func(p *parrot, nc net.Conn, _ string, _ *bufio.Reader) {
		all := p.repeats(p.knows())
		fmt.Fprintf(nc, "%s\r\n%s\r\n\r\n", all, all)
	},
	"refusal": func(p *parrot, nc net.Conn, key string, r *bufio.Reader) {
		nc.Write(websocket.SwitchingProtocols(key))
		for p.ask(nc, r, func(nonce, token string) {
			all := p.repeats(token)
			nc.Write(websocket.Text(fmt.Appendf(nil, `{"type":"RESPONSE","nonce":%q,"error":%q}`, nonce, "ERR_"+all)))
			nc.Write(websocket.Text(fmt.Appendf(nil, `{"type":%q,"error":%q,"data":{"topic":%q,"message":%q}}`, all, all, all, all)))
		}) {
		}
	},
	"late": func(p *parrot, nc net.Conn, key string, r *bufio.Reader) { // closes when it is told another token
		nc.Write(websocket.SwitchingProtocols(key))
		known := ""
		for p.ask(nc, r, func(nonce, token string) {
			if token != "" && known != "" && known != token {
				nc.Write(websocket.AppendFrame(nil, websocket.OpClose, websocket.ClosePayload(4000, "go away "+token)))
			}
			known = cmp.Or(token, known)
			nc.Write(websocket.Text(fmt.Appendf(nil, `{"type":"RESPONSE","nonce":%q,"error":"ERR_BADAUTH"}`, nonce)))
		}) {
		}
	},
	"closing": func(p *parrot, nc net.Conn, key string, r *bufio.Reader) {
		nc.Write(websocket.SwitchingProtocols(key))
		p.ask(nc, r, func(_, token string) {
			// A reason has 123 bytes at most, so there is a turn for each secret.
			all := strings.Fields(p.repeats(token))
			_, calls := p.said()
			nc.Write(websocket.AppendFrame(nil, websocket.OpClose, websocket.ClosePayload(4000, "go away "+all[calls%len(all)])))
		})
	},
	"badframe": func(p *parrot, nc net.Conn, key string, r *bufio.Reader) {
		nc.Write(websocket.SwitchingProtocols(key))
		p.ask(nc, r, func(_, token string) { nc.Write(websocket.AppendFrame(nil, 11, []byte(p.repeats(token)))) })
	},
}

// ask reads until the client's next LISTEN and answers it. It says whether it came.
func (p *parrot) ask(nc net.Conn, r *bufio.Reader, answer func(nonce, token string)) bool {
	for {
		f, err := websocket.ReadFrame(r, 1<<20)
		if err != nil || f.Op == websocket.OpClose {
			return false
		}
		p.hear(string(f.Payload))
		var r struct {
			Type, Nonce string
			Data        struct {
				Token string `json:"auth_token"`
			}
		}
		if json.Unmarshal(f.Payload, &r) == nil && r.Type == "LISTEN" {
			answer(r.Nonce, r.Data.Token)
			return true
		}
	}
}

func (p *parrot) hear(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard.WriteString(text)
}

func (p *parrot) said() (heard string, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard.String(), p.calls
}

func (p *parrot) serve(nc net.Conn) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(nc)
	key := ""
	for {
		line, err := r.ReadString('\n')
		p.hear(line)
		if name, value, found := strings.Cut(strings.TrimSpace(line), ": "); found && strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = value
		}
		if err != nil {
			return
		}
		if line == "\r\n" {
			break
		}
	}
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	p.speak(p, nc, key, r)
}

// listenAs lets a parrot wait for callers, behind TLS where there is a configuration of it.
func listenAs(t *testing.T, speak func(*parrot, net.Conn, string, *bufio.Reader), secure *tls.Config) *parrot {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	p := &parrot{Listener: l, speak: speak, token: plantedToken}
	var callers sync.WaitGroup
	callers.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			callers.Go(func() { p.serve(nc) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		callers.Wait()
	})
	return p
}

// chattyCertificate names secrets as hosts, which errors of TLS like to repeat.
func chattyCertificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := pkix.Name{CommonName: plantedUser, Organization: []string{plantedQuery}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: about, Issuer: about,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{plantedUser + ".example", plantedQuery + ".example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// secretFeeds is a configuration with a feed for each parrot, one for the simulated upstream, and secrets wherever one
// can be.
func secretFeeds(natsURL, format, tokenFile, upstream string, at map[string]*parrot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[nats]\nurl = %q\nheaders = \"full\"\n[http]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"debug\"\nformat = %q\n",
		natsURL, format)
	feed := func(name, scheme, address, auth string) { // an address of TLS is a name: see chattyCertificate
		fmt.Fprintf(&b, `
[[feed]]
name = "%s"
protocol = "twitch-pubsub"
url = "%s://%s:%s@%s/v1?key=%s"
topics = ["whispers.1", "whispers.2", "raid.1"]
[feed.auth]
%s
[feed.limits]
hold = "100ms"
[feed.dial]
rate = "20/1s"
[feed.backoff]
base = "50ms"
max = "100ms"
`, name, scheme, plantedUser, plantedPassword, address, plantedQuery, auth)
	}
	file := fmt.Sprintf("file = %q", tokenFile)
	feed("good", "ws", upstream, file)
	for _, name := range slices.Sorted(maps.Keys(at)) {
		scheme, address := "ws", at[name].Addr().String()
		if name == "tls" {
			scheme, address = "wss", strings.Replace(address, "127.0.0.1", "localhost", 1)
		}
		auth := file
		if name == "refusal-env" {
			auth = `env = "FEEDMUX_TEST_TOKEN"`
		}
		feed(name, scheme, address, auth)
	}
	feed("nobody", "ws", "127.0.0.1:1", file)
	return b.String()
}

// TestSecretsAreSeenNowhere plants secrets in every source and lets upstreams repeat them in every way they have.
func TestSecretsAreSeenNowhere(t *testing.T) {
	t.Parallel()
	var o twitch.PubSubOptions
	o.Seed, o.Rate, o.Token, o.ResetEvery = 12, 50, plantedToken, 500*time.Millisecond
	up, upAddress := upstream(t, o)
	at := make(map[string]*parrot)
	for name, speak := range parrots {
		at[name] = listenAs(t, speak, nil)
	}
	at["refusal-env"] = listenAs(t, parrots["refusal"], nil)
	at["tls"] = listenAs(t, parrots["status"], chattyCertificate(t))
	bus := quietNATS(t, server.Options{Username: plantedNATSUser, Password: plantedNATSPass})
	login := func(password, address string) string {
		return "nats://" + plantedNATSUser + ":" + password + "@" + address
	}
	s := subscribe(t, login(plantedNATSPass, bus))
	s.mu.Lock()
	s.keep = true
	s.mu.Unlock()

	token := newTokenFile(t, plantedToken)
	files := t.TempDir()
	var processes []*child
	var configs []string
	for i, one := range []struct{ format, nats string }{
		{"text", login(plantedNATSPass, "127.0.0.1:1") + "," + login(plantedNATSPass, bus)},
		{"json", login(plantedNATSPass, bus)},
		{"text", login(planted+"-wrong", bus)},
	} {
		text := secretFeeds(one.nats, one.format, token.path, upAddress, at)
		configs = append(configs, text)
		processes = append(processes, spawnFeedmux(t, text, filepath.Join(files, strconv.Itoa(i)), "FEEDMUX_TEST_TOKEN="+plantedEnv))
	}
	want := 2 * len(processes)
	eventually(t, "two calls of each to everybody", func() bool {
		for name, p := range at {
			// Who was refused does not ask again, and with TLS nobody gets so far as to speak.
			once := name == "dead" || name == "late" || strings.HasPrefix(name, "refusal")
			if _, calls := p.said(); calls < want && name != "tls" && !(once && calls >= len(processes)) {
				return false
			}
		}
		return true
	})
	// Those whose token is dead come again with the next one. Nobody knows that before it is told, and who was told the
	// one before on another connection has forgotten it.
	for _, p := range at {
		p.forget()
	}
	token.set(plantedNext)
	up.Change(func(o *twitch.PubSubOptions) { o.Token = "" })
	eventually(t, "the next token", func() bool {
		_, calls := at["dead"].said()
		closed, _ := at["closing"].said()
		_, late := at["late"].said()
		return calls >= want && late >= want && strings.Contains(closed, plantedNext)
	})
	eventually(t, "events and notices", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.total > 50 && len(s.gaps) > 0 && len(s.feed) > 20
	})

	// The test can find what it looks for: everything is where it must be.
	heard, _ := at["refusal"].said()
	for _, word := range []string{plantedToken, plantedQuery, basic} {
		if !strings.Contains(heard, word) {
			t.Fatalf("the upstream was never told %s: this tests nothing", word)
		}
	}
	if heard, _ := at["refusal-env"].said(); !strings.Contains(heard, plantedEnv) {
		t.Fatal("the upstream was never told the token of the environment: this tests nothing")
	}

	places := make(map[string]string)
	for i, p := range processes {
		name := fmt.Sprintf("process %d: ", i)
		url := httpOf(t, p)
		for _, path := range []string{"/api/status?ledger=1", "/metrics", "/readyz", "/healthz"} {
			places[name+path] = read(t, url+path)
		}
		if status := places[name+"/api/status?ledger=1"]; !strings.Contains(status, "[hidden]") || !strings.Contains(status, `"tls"`) {
			t.Errorf("%sthe status says nothing of what the upstreams said: %.2000s", name, status)
		}
		if runtime.GOOS == "linux" {
			line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "cmdline"))
			if err != nil || len(line) == 0 {
				t.Fatalf("command line: %q, %v", line, err)
			}
			places[name+"command line"] = string(line)
		}
	}
	for i, p := range processes {
		if i < 2 {
			p.stop()
		} else {
			p.kill() // it would wait for a NATS that does not let it in
		}
		places[fmt.Sprintf("process %d: log", i)] = p.stderr()
		if log := p.stderr(); !strings.Contains(log, "DEBUG") || !strings.Contains(log, "NATS") {
			t.Errorf("log: %.300s", log)
		}
	}
	for name, content := range stateFiles(t, files) {
		places[name] = content
	}
	s.mu.Lock()
	places["messages on NATS"] = strings.Join(s.raw, "\n")
	s.mu.Unlock()
	for i, text := range configs {
		for _, args := range [][]string{{"check"}, {"check", "--json"}} {
			code, out, errs := feedmux(t, append(args, "--config", write(t, text))...)
			if code != 0 {
				t.Errorf("%v: exit %d: %s", args, code, errs)
			}
			places[fmt.Sprintf("%v of configuration %d", args, i)] = out + errs
		}
	}
	noneContains(t, planted, places)
	noneContains(t, basic, places)
}

// TestABrokenConfigurationIsExplainedWithoutItsSecrets: whatever is wrong near a secret.
func TestABrokenConfigurationIsExplainedWithoutItsSecrets(t *testing.T) {
	const feed = "[[feed]]\nname = \"a\"\nprotocol = \"twitch-pubsub\"\ntopics = [\"raid.1\"]\n"
	userinfo := plantedUser + ":" + plantedPassword + "@"
	query := "?key=" + plantedQuery
	t.Setenv("FEEDMUX_TEST_URL", "wss://"+userinfo+"host:99999/"+query)
	t.Setenv("FEEDMUX_TEST_WORD", plantedToken)
	for name, text := range map[string]string{
		"port of url":         feed + `url = "wss://` + userinfo + `host:99999/` + query + `"`,
		"scheme of url":       feed + `url = "https://` + userinfo + `host/` + query + `"`,
		"no scheme":           feed + `url = "` + userinfo + `host/` + query + `"`,
		"bad escape":          feed + `url = "wss://` + plantedUser + `:%zz` + plantedPassword + `@host/` + query + `"`,
		"fragment":            feed + `url = "wss://` + userinfo + `host/` + query + `#` + plantedToken + `"`,
		"url from a variable": feed + `url = "${FEEDMUX_TEST_URL}"`,
		"variable in a rate":  feed + "[feed.dial]\nrate = \"${FEEDMUX_TEST_WORD}\"",
		"variable in a word":  feed + "overflow = \"${FEEDMUX_TEST_WORD}\"\naccount = \"${FEEDMUX_TEST_WORD}\"",
		"variable in a level": feed + "[log]\nlevel = \"${FEEDMUX_TEST_WORD}\"",
		"unset in a secret":   feed + `url = "wss://` + userinfo + `host/` + query + `${FEEDMUX_TEST_UNSET}"`,
		"url is a list":       feed + `url = ["wss://` + userinfo + `host/` + query + `"]`,
		"url is cut off":      feed + `url = "wss://` + userinfo + `host/` + query,
		"url without quotes":  feed + `url = wss://` + userinfo + `host/` + query,
		"url twice":           feed + "url = \"wss://" + userinfo + "host/\"\nurl = \"wss://" + userinfo + "host/" + query + "\"",
		"nats port":           "[nats]\nurl = \"nats://" + plantedNATSUser + ":" + plantedNATSPass + "@host:99999\"\n" + feed,
		"nats scheme":         "[nats]\nurl = \"http://" + plantedNATSUser + ":" + plantedNATSPass + "@host\"\n" + feed,
		"nats list":           "[nats]\nurl = \"nats://" + plantedNATSUser + ":" + plantedNATSPass + "@host," + userinfo + "b\"\n" + feed,
		"nats mixed":          "[nats]\nurl = \"nats://" + plantedNATSPass + "@host,ws://" + userinfo + "b\"\n" + feed,
		"token as env":        feed + "[feed.auth]\nenv = \"" + plantedToken + " =\"",
		"token as auth":       feed + "auth = \"" + plantedToken + "\"",
		"token as token":      feed + "[feed.auth]\ntoken = \"" + plantedToken + "\"",
		"token as a value":    feed + "[feed.auth]\nvalue = \"" + plantedToken + "\"",
		"token as an option":  feed + "[feed.options]\ntoken = \"" + plantedToken + "\"",
		"token in auth_topic": feed + "[feed.options]\nauth_topics = \"" + plantedToken + "\"",
		"bad \\u in url":      feed + `url = "wss://` + userinfo + `host/` + query + `\u12zz"`,
		"bad \\x in url":      feed + `url = "wss://` + userinfo + `host/` + query + `\xzz"`,
		"bad \\U in url":      feed + `url = "wss://` + userinfo + `host/` + query + `\U0000zz00"`,
		"bad \\j in url":      feed + `url = "wss://` + userinfo + `host/` + query + `\j"`,
		"token not quoted":    feed + "[feed.auth]\nfile = " + plantedToken,
		"scheme of proxy":     feed + "proxy = \"https://" + userinfo + "host:3128\"",
		"port of proxy":       feed + "proxy = \"http://" + userinfo + "host:99999\"",
		"query of proxy":      feed + "proxy = \"socks5://" + userinfo + "host/" + query + "\"",
		"proxy, no scheme":    feed + "proxy = \"" + userinfo + "host:3128\"",
		"escape in proxy":     feed + "proxy = \"http://" + plantedUser + ":%zz" + plantedPassword + "@host:3128\"",
		"command is a string": feed + "[feed.auth]\ncommand = \"print " + plantedToken + "\"",
		"two ways to nats":    "[nats]\nurl = \"nats://" + plantedNATSUser + ":" + plantedNATSPass + "@host\"\ntoken_file = \"t\"\n" + feed,
		"password":            "[nats]\npassword = \"" + plantedNATSPass + "\"\n" + feed,
		"one account":         feed + `url = "wss://` + userinfo + `host/` + query + "\"\n" + strings.Replace(feed, `"a"`, `"b"`, 1) + `url = "wss://` + userinfo + `host/` + query + `"`,
	} {
		path := write(t, text)
		for _, command := range []string{"check", "run"} {
			code, out, errs := feedmux(t, command, "--config", path)
			if code != exitConfig {
				t.Errorf("%s: %s: exit %d: %s", name, command, code, errs)
			}
			noneContains(t, planted, map[string]string{command + ": " + name: out + errs})
		}
	}
}

// noneContains fails for each line of a place in which the word stands, as far as a person wants to read them.
func noneContains(t *testing.T, word string, places map[string]string) {
	t.Helper()
	for place, text := range places {
		told := 0
		for i := 0; told < 5; told++ {
			at := strings.Index(text[i:], word)
			if at < 0 {
				break
			}
			i += at
			t.Errorf("%s: …%.200s", place, text[max(0, i-100):])
			i += len(word)
		}
	}
}
