package simulators

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestSimulatedScaiWaveAnswersUntilItsContextEnds(t *testing.T) {
	address, ctx, end := serve(t, scaiWaveCommand(serving{failed: same}), "/v1/stream")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/sync?timeout=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer abc")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(body), `{"data":{"events":[`) {
		t.Errorf("sync: %d %s, %v", resp.StatusCode, body, err)
	}
	end()
}
