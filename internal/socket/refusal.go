package socket

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	refusalBody   = 4 << 10 // bytes of what a server says that are kept
	maxRetryAfter = 24 * time.Hour
)

// readRefusal reads an HTTP answer other than 101, as much of it as comes before the dial's deadline.
func readRefusal(status int, answer io.Reader, secrets *strings.Replacer) *HandshakeError {
	e := &HandshakeError{Status: status}
	resp, err := http.ReadResponse(bufio.NewReader(answer), nil)
	if err != nil {
		return e
	}
	e.RetryAfter = retryAfter(resp.Header, time.Now())
	if u, err := url.Parse(resp.Header.Get("Location")); err == nil {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		e.Location = cut(secrets.Replace(u.String()), refusalBody)
	}
	// More is read than kept, or the first half of a secret might stand at the end. Not closed: Close would read all.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 2*refusalBody))
	e.Body = cut(printable(secrets.Replace(string(body))), refusalBody)
	return e
}

// retryAfter reads Retry-After: seconds, or a date, which counts from the answer's own Date so that a wrong clock on
// either side does no harm. A time in the past, or no time at all, is zero; more than a day is a day.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if at, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	// Out of range, ParseInt returns the nearest number that is in it: a huge value is long, not nonsense.
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil && seconds <= 0 {
		return 0
	}
	return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
}

// printable makes s fit for one line of a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return '.'
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// cut shortens valid UTF-8 to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
