package ledger

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"feedmux/internal/topic"
)

func TestThePageOfNoticesHasEveryFieldAndValue(t *testing.T) {
	page, err := os.ReadFile("../../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	values := []string{
		string(GapOpen), string(GapClosed), string(AtUpstream), string(AtDelivery), AllFilled, PartlyFilled, NotFilled,
		string(topic.ByAck), string(topic.ByEvent), string(topic.ByAssumed), "removed",
	}
	for _, s := range topic.States() {
		values = append(values, s.String())
	}
	fields := 0
	for _, n := range []Notice{&GapNotice{}, &TopicNotice{}, &FeedNotice{}, &UpstreamNotice{}, &CapacityNotice{}, &LossNotice{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(n).Elem()) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
				values = append(values, name)
				fields++
			}
		}
	}
	if fields < 40 {
		t.Errorf("only %d fields were found", fields)
	}
	for _, v := range values {
		if !strings.Contains(string(page), "`"+v+"`") {
			t.Errorf("the field or value %s is not on the page", v)
		}
	}
}
