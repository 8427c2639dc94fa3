package secret

import (
	"errors"
	"strings"
	"testing"
	"time"

	"feedmux/internal/regular"
)

func TestWhatCommandsPrint(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		printed, value string
		expires        time.Time
		err            error
	}{
		{printed: "swordfish", value: "swordfish"},
		{printed: "\t sword fish \r\n\n", value: "sword fish"},
		{printed: `"swordfish"`, value: `"swordfish"`},
		{printed: `[{"token":"a"}]`, value: `[{"token":"a"}]`},
		{printed: ` {"token":" swordfish\n"}` + "\n", value: "swordfish"},
		{printed: `{"token":"swordfish","expires_at":null,"more":[1]}`, value: "swordfish"},
		{printed: `{"token":"swordfish","expires_at":"2030-01-02T03:04:05Z"}`, value: "swordfish", expires: at},
		{printed: `{"token":"swordfish","expires_at":"2030-01-02T08:34:05+05:30"}`, value: "swordfish", expires: at},
		{printed: `{"token":"swordfish","expires_at":1893553445}`, value: "swordfish", expires: at},
		{printed: `{"token":"swordfish","expires_at":1893553445.25}`, value: "swordfish", expires: at},
		{printed: `{"token":"swordfish","expires_at":"0001-01-01T00:00:00Z"}`, value: "swordfish"},

		{printed: "", err: ErrEmpty},
		{printed: " \n", err: ErrEmpty},
		{printed: `{"token":" \n"}`, err: ErrEmpty},
		{printed: "sword\nfish", err: errNoText},
		{printed: "swordfish\x00", err: errNoText},
		{printed: "swordfish\x1b[0m", err: errNoText},
		{printed: "swordfish\xff", err: errNoText},
		{printed: `{"token":"sword\nfish"}`, err: errNoText},
		{printed: `{"token":"sword\u0000fish"}`, err: errNoText},
		{printed: `{"token":"swordfish` + "\xff" + `"}`, err: errNoText},
		{printed: `{swordfish}`, err: errNoToken},
		{printed: `{}`, err: errNoToken},
		{printed: `{"access_token":"swordfish"}`, err: errNoToken},
		{printed: `{"token":null}`, err: errNoToken},
		{printed: `{"token":1234}`, err: errNoToken},
		{printed: `{"token":["swordfish"]}`, err: errNoToken},
		{printed: `{"token":"swordfish"} swordfish`, err: errNoToken},
		{printed: strings.Repeat(`{"token":`, regular.Small/9), err: errNoToken},
		{printed: `{"token":"swordfish","expires_at":"swordfish"}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":"1893553445"}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":"2030-01-02 03:04:05"}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":1893553445000}`, err: errNoExpires}, // milliseconds
		{printed: `{"token":"swordfish","expires_at":0}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":-1}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":1e999}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":true}`, err: errNoExpires},
		{printed: `{"token":"swordfish","expires_at":{}}`, err: errNoExpires},
	} {
		value, expires, err := parse([]byte(c.printed))
		if value != c.value || !expires.Equal(c.expires) || !errors.Is(err, c.err) {
			t.Errorf("%.80q: %q, %v, %v; want %q, %v, %v", c.printed, value, expires, err, c.value, c.expires, c.err)
		}
	}
}
