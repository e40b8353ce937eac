package consumergroups

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gregor/tools/internal/kclient"
)

// The words are Kafka's.
func TestArgumentsThatDoNotFit(t *testing.T) {
	for args, want := range map[string]string{
		"--list":                            "Missing required argument \"[bootstrap-server]\"",
		"--bootstrap-server a:1":            "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets",
		"--bootstrap-server a:1 --describe": "Option [describe] takes one of these options: [group], [all-groups]",
		"--bootstrap-server a:1 --describe --group g --state --members":                        "Option [describe] takes at most one of these options: [members], [offsets], [state]",
		"--bootstrap-server a:1 --describe --group g --state Stable":                           "Option [describe] does not take a value for [state]",
		"--bootstrap-server a:1 --delete":                                                      "Option [delete] takes one of these options: [group], [all-groups]",
		"--bootstrap-server a:1 --delete --group g --topic t":                                  "The consumer does not support topic-specific offset deletion from a consumer group.",
		"--bootstrap-server a:1 --delete-offsets --group g":                                    "Option [delete-offsets] takes the following options: [group], [topic]",
		"--bootstrap-server a:1 --reset-offsets --group g --dry-run --execute":                 "Option [reset-offsets] only accepts one of [execute] and [dry-run]",
		"--bootstrap-server a:1 --reset-offsets --group g --to-latest --to-earliest --dry-run": `Option "[to-earliest]" can't be used with option "[to-latest]"`,
		"--bootstrap-server a:1 --describe --list --all-groups":                                "Command must include exactly one action",
		"--bootstrap-server a:1 --list --group g":                                              `Option "[group]" can't be used with option "[list]"`,
		"--bootstrap-server a:1 --list --members":                                              "joptsimple.UnavailableOptionException: Option(s) [members] are unavailable given other options on the command line",
	} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(args), nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit code %d, %.200q, want %q", args, code, errs.String(), want)
		}
	}
}

func TestAssignmentsAreShownByTopic(t *testing.T) {
	tps := []kclient.TopicPartition{{Topic: "b", Partition: 0}, {Topic: "a", Partition: 10}, {Topic: "a", Partition: 2}}
	if got := byTopic(tps); got != "a(2,10), b(0)" {
		t.Error(got)
	}
	if got := byTopic(nil); got != "-" {
		t.Error(got)
	}
}

func TestExportedLinesAreQuotedAsJacksonDoes(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{[]string{"topic-1.a_b", "0", "12"}, "topic-1.a_b,0,12\n"},
		{[]string{`my "group"`, "t", "0", "1"}, "\"my \"\"group\"\"\",t,0,1\n"},
		{[]string{strings.Repeat("a", 24), strings.Repeat("b", 25), "0", "1"}, strings.Repeat("a", 24) + ",\"" + strings.Repeat("b", 25) + "\",0,1\n"},
	} {
		if got := csvLine(c.fields); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestPlansAreReadInBothForms(t *testing.T) {
	for _, c := range []struct{ text, single, want string }{
		{"t,0,5\nt,1,6\nt,0,7\n", "g", "map[g:[t-0@7 t-1@6]]"},
		{"t,0,5\r\nt,1,6\r\n", "g", "map[g:[t-0@5 t-1@6]]"},
		{"g,t,0,5\n\"h h\",t,1,6", "", "map[g:[t-0@5] h h:[t-1@6]]"},
		{"g,t,0,5\n", "g", "map[g:[t-0@5]]"},
		{"", "g", `line 1 of the reset plan, "": no CSV`},
		{"t,0,5\nt,1\n", "g", `line 2 of the reset plan, "t,1": want topic,partition,offset`},
		{"t,0,5\n", "", `line 1 of the reset plan, "t,0,5": want group,topic,partition,offset`},
		{"t,0,x\n", "g", `line 1 of the reset plan, "t,0,x": want group,topic,partition,offset`},
		{"g,t,0,99999999999999999999\n", "", `line 1 of the reset plan, "g,t,0,99999999999999999999": "99999999999999999999" is no offset`},
	} {
		plan, err := parsePlan(c.text, c.single)
		got := fmt.Sprint(plan)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

// A file gives a plan or an error, and what was exported is read again.
func FuzzPlans(f *testing.F) {
	f.Add("t,0,5\nt,1,6\n", "g")
	f.Add("\"a,b\",t,0,5\n", "")
	f.Fuzz(func(t *testing.T, text, single string) {
		plan, err := parsePlan(text, single)
		if err != nil {
			return
		}
		var again strings.Builder
		for group, offsets := range plan {
			for _, o := range offsets {
				again.WriteString(csvLine([]string{group, o.Topic, fmt.Sprint(o.Partition), fmt.Sprint(o.Offset)}))
			}
		}
		second, err := parsePlan(again.String(), "")
		if err != nil || fmt.Sprint(second) != fmt.Sprint(plan) {
			t.Errorf("%q became %q: %v", text, again.String(), err)
		}
	})
}
