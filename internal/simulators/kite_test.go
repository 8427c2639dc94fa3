package simulators

import (
	"net/http"
	"testing"
)

func TestSimulatedKiteAnswersUntilItsContextEnds(t *testing.T) {
	address, ctx, end := serve(t, kiteCommand(serving{failed: same}), "")
	for token, want := range map[string]int{"abc": http.StatusSwitchingProtocols, "xyz": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/?api_key=k&access_token="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token %s: %d, want %d", token, resp.StatusCode, want)
		}
	}
	end()
}
