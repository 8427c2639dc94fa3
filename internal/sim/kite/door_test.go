package kite

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandshakeNeedsKeyAndToken(t *testing.T) {
	const body = "{\"status\":\"error\",\"message\":\"Incorrect `api_key` or `access_token`.\",\"data\":null," +
		`"error_type":"TokenException"}`
	for query, want := range map[string]int{
		goodQuery: 101, "?access_token=good&api_key=other&uid=17": 101, "?api_key=a%2Fb&access_token=g%6fod": 101,
		"": 403, "?api_key=key": 403, "?access_token=good": 403, "?api_key=&access_token=good": 403,
		"?api_key=key&access_token=": 403, "?api_key=key&access_token=bad": 403,
	} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, n := start(t, Options{Token: "good"})
				_, status, text, err := shake(t, dial(t, n), query)
				if err != nil || status != want || (status == 403) != (text == body) {
					t.Errorf("%d, %v, want %d\n%s", status, err, want, text)
				}
				rec := p.Conns()[0]
				if rec.Denied != map[int]int{403: 403}[want] || strings.Contains(query, "a%2Fb") && rec.Key != "a/b" {
					t.Errorf("%+v", rec)
				}
			})
		})
	}
}

func TestAnyTokenIsGoodUnlessOneIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, Options{})
		a := join(t, n, "?api_key=a&access_token=x")
		if try(t, n, "?api_key=a&access_token=y") != 101 {
			t.Error("y was refused")
		}
		p.SetToken("y")
		if try(t, n, "?api_key=a&access_token=x") != 403 || try(t, n, "?api_key=a&access_token=y") != 101 {
			t.Error("another than y is good")
		}
		if a.end() != nil {
			t.Error("the open socket ended")
		}
	})
}

func TestTokensDieAndOpenSocketsLiveOn(t *testing.T) {
	for _, set := range []string{"", "good"} {
		t.Run(set, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still
				o.Token = set
				p, n := start(t, o)
				c := join(t, n, goodQuery)
				p.TokenDies(time.Now().Add(time.Hour))
				time.Sleep(time.Hour - time.Nanosecond)
				if try(t, n, goodQuery) != 101 {
					t.Error("it died too early")
				}
				time.Sleep(time.Nanosecond)
				_, status, body, _ := shake(t, dial(t, n), goodQuery)
				if status != 403 || !strings.Contains(body, "TokenException") {
					t.Errorf("dead, and answered %d: %s", status, body)
				}
				if set != "" {
					p.SetToken("new")
				}
				if try(t, n, "?api_key=key&access_token=new") != 101 || try(t, n, goodQuery) != 403 {
					t.Error("the new one is not good, or the old one is")
				}
				c.subscribe(257)
				if len(c.packets()) != 1 || c.end() != nil {
					t.Error("the open socket died with it")
				}
				if n := p.Fired()[FaultTokenDies]; n != 2-len(set)/4 {
					t.Errorf("fired %d times", n)
				}
			})
		})
	}
}

func TestTokensGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := start(t, Options{TokenDies: time.Minute})
		try(t, n, goodQuery)
		time.Sleep(59 * time.Second)
		before := try(t, n, goodQuery)
		time.Sleep(time.Second)
		if before != 101 || try(t, n, goodQuery) != 403 || try(t, n, "?api_key=key&access_token=new") != 101 {
			t.Error("it did not die at its age")
		}
	})
}

func TestFourthSocketOfAKeyIsRefusedAndTheOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := start(t, still)
		var three []*rawClient
		for range 3 {
			three = append(three, join(t, n, goodQuery))
		}
		join(t, n, "?api_key=other&access_token=good")
		_, status, body, _ := shake(t, dial(t, n), goodQuery)
		if status != 429 || !strings.Contains(body, `"error_type":"NetworkException"`) {
			t.Errorf("%d: %s", status, body)
		}
		for i, c := range three {
			if c.end() != nil {
				t.Errorf("socket %d: %v", i, c.end())
			}
		}
		if rec := p.Conns()[4]; rec.Denied != 429 || !rec.Upgraded.IsZero() {
			t.Errorf("%+v", rec)
		}
		wantRules(t, p, "connections")
		three[0].send(8, nil)
		if three[0].end() == nil || try(t, n, goodQuery) != 101 {
			t.Error("the place of one that ended stays taken")
		}
	})
}

func TestSocketsThatDropUncleanlyLinger(t *testing.T) {
	for name, drop := range map[string]func(*Ticker, *rawClient){
		"RST": func(p *Ticker, _ *rawClient) { p.Reset(1) },
		"FIN": func(p *Ticker, _ *rawClient) { p.FIN(1) },
		"client's FIN": func(_ *Ticker, c *rawClient) {
			c.nc.Close()
		},
		"silence": func(p *Ticker, c *rawClient) {
			p.Mute(1)
			c.send(8, nil) // unheard
			c.nc.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := still
				o.Connections, o.Linger = 2, 10*time.Second
				p, n := start(t, o)
				c, other := join(t, n, goodQuery), join(t, n, goodQuery)
				drop(p, c)
				synctest.Wait()
				if try(t, n, "?api_key=other&access_token=good") != 101 {
					t.Error("it lingers for another key")
				}
				time.Sleep(10*time.Second - time.Nanosecond)
				early := try(t, n, goodQuery)
				time.Sleep(time.Nanosecond)
				if early != 429 || try(t, n, goodQuery) != 101 || try(t, n, goodQuery) != 101 || other.end() != nil {
					t.Errorf("early: %d; later it still counts, or a clean close does", early)
				}
				wantRules(t, p) // no client can know
			})
		})
	}
}

func TestInstrumentsOfADroppedSocketCountOnTheNext(t *testing.T) {
	const tooMany = `{"type":"error","data":"Can't subscribe to more than 10 instruments."}`
	synctest.Test(t, func(t *testing.T) {
		o := still
		o.InstrumentsPerConnection, o.LingerInstruments = 10, time.Minute
		p, n := start(t, o)
		a, b := join(t, n, goodQuery), join(t, n, goodQuery)
		a.subscribe(tokens(1, 8)...)
		b.subscribe(tokens(1, 10)...)
		synctest.Wait()
		p.Reset(1)
		b.send(8, nil)
		synctest.Wait()
		c, d := join(t, n, goodQuery), join(t, n, goodQuery)
		c.subscribe(tokens(1, 2)...)
		c.wantTexts()
		c.subscribe(tokens(4, 1)...)
		c.wantTexts(tooMany)
		c.send(8, nil)
		c.end()
		c = join(t, n, goodQuery) // it is haunted still
		c.subscribe(tokens(1, 3)...)
		c.wantTexts(tooMany)
		d.subscribe(tokens(1, 10)...)
		d.wantTexts()
		time.Sleep(time.Minute)
		c.subscribe(tokens(1, 10)...)
		c.wantTexts()
		if rec := p.Conns()[4]; rec.MaxInstruments != 10 || p.Fired()[FaultLingerInstruments] != 2 {
			t.Errorf("%d instruments, fired %v", rec.MaxInstruments, p.Fired())
		}
		wantRules(t, p)
	})
}
