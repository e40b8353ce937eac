package consumergroups

import (
	"bytes"
	"strings"
	"testing"

	"gregor/tools/internal/kclient"
)

// The words are Kafka's.
func TestArgumentsThatDoNotFit(t *testing.T) {
	for args, want := range map[string]string{
		"--list":                                                               "Missing required argument \"[bootstrap-server]\"",
		"--bootstrap-server a:1":                                               "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets",
		"--bootstrap-server a:1 --describe":                                    "Option [describe] takes one of these options: [all-groups], [group]",
		"--bootstrap-server a:1 --delete":                                      "Option [delete] takes one of these options: [all-groups], [group]",
		"--bootstrap-server a:1 --delete-offsets --group g":                    "Option [delete-offsets] takes the following options: [group], [topic]",
		"--bootstrap-server a:1 --reset-offsets --group g":                     "One of the reset scopes should be defined: --all-topics, --topic.",
		"--bootstrap-server a:1 --reset-offsets --group g --dry-run --execute": "Option [reset-offsets] only accepts one of [execute], [dry-run]",
		"--bootstrap-server a:1 --list --describe --group g":                   "Command must include exactly one action",
	} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(args), nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit code %d, %.200q, want %q", args, code, errs.String(), want)
		}
	}
}

func TestAssignmentsAreShownByTopic(t *testing.T) {
	tps := []kclient.TopicPartition{{Topic: "b", Partition: 0}, {Topic: "a", Partition: 10}, {Topic: "a", Partition: 2}}
	sortPartitions(tps)
	if got := byTopic(tps); got != "a(2,10), b(0)" {
		t.Error(got)
	}
	if got := byTopic(nil); got != "-" {
		t.Error(got)
	}
}
