package streamsreset

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestOnlyStreamsOwnTopicsAreInternal(t *testing.T) {
	r := &resetter{id: "app", inputs: []string{"app-in-changelog"}, intermediates: []string{"app-mid-repartition"}}
	for topic, want := range map[string]bool{
		"app-store-changelog": true, "app-by-key-repartition": true, "app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-0000000007-topic": true,
		"app-x-subscription-response-topic": true, "app-in-changelog": false, "app-mid-repartition": false, "app-out": false, "apple-changelog": false,
		"other-app-changelog": false, "app-changelog-of-mine": false, "app-KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-x-topic": false,
	} {
		if got := r.internal(topic); got != want {
			t.Errorf("%s: %t", topic, got)
		}
	}
}

func TestPlansThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":         "Error parsing reset plan CSV file. It is empty,",
		"t,1\n":    "Reset plan CSV file is not following the format `TOPIC,PARTITION,OFFSET`.",
		"t,x,1\n":  `For input string: "x"`,
		"t,1,2\nu": "Reset plan CSV file is not following the format `TOPIC,PARTITION,OFFSET`.",
		"t,1,2\n":  "map[t-1:2]",
	} {
		plan, err := parsePlan(text)
		got := fmt.Sprint(plan)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// The words are Kafka's.
func TestArgumentsThatDoNotFit(t *testing.T) {
	for args, want := range map[string]string{
		"":                                       "Missing required option(s) [application-id]",
		"--application-id a --execute --dry-run": "Only one of --dry-run and --execute can be specified",
		"--application-id a --to-latest --shift-by 1": `Option "[to-latest]" can't be used with option "[shift-by]"`,
		"--application-id a --what":                   "what is not a recognized option",
	} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(args), nil, &out, &errs); code != 1 || !strings.HasPrefix(errs.String(), want+"\n") {
			t.Errorf("%s: exit code %d, %.200q, want %q", args, code, errs.String(), want)
		}
	}
}
