package topics

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestBadCommandLinesAreRefused(t *testing.T) {
	const b = "--bootstrap-server a:1 "
	for args, want := range map[string]string{
		b:                                    "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
		b + "--list --alter":                 "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
		"--list":                             "java.lang.IllegalArgumentException: Only one of --bootstrap-server or --zookeeper must be specified",
		b + "--list --zookeeper z:1":         "java.lang.IllegalArgumentException: Only one of --bootstrap-server or --zookeeper must be specified",
		b + "--create":                       `Missing required argument "[topic]"`,
		b + "--describe --if-exists":         `Missing required argument "[topic]"`,
		"--zookeeper z:1 --create --topic t": `Missing required argument "[partitions]"`,
		"--zookeeper z:1 --create --topic t --partitions 1":                    `Missing required argument "[replication-factor]"`,
		b + "--alter --topic t":                                                `Missing required argument "[partitions]"`,
		b + "--alter --topic t --config a=b":                                   `Option combination "[bootstrap-server],[config]" can't be used with option "[alter]"` + viaConfigs,
		b + "--list --config a=b":                                              `Option "[config]" can't be used with option "[list]"`,
		b + "--create --topic t --delete-config a":                             `Option "[delete-config]" can't be used with option "[create]"`,
		b + "--create --topic t --replica-assignment 1 --partitions 1":         `Option "[replica-assignment]" can't be used with option "[partitions]"`,
		b + "--describe --under-replicated-partitions --topics-with-overrides": `Option "[under-replicated-partitions]" can't be used with option "[topics-with-overrides]"`,
		"--zookeeper z:1 --describe --at-min-isr-partitions":                   `Option "[at-min-isr-partitions]" can't be used with option "[zookeeper]"`,
		b + "--create --topic t --if-exists":                                   `Option "[if-exists]" can't be used with option "[create]"`,
		b + "--delete --topic t --exclude-internal":                            `Option "[exclude-internal]" can't be used with option "[delete]"`,
	} {
		o, err := newParser().Parse(strings.Fields(args))
		if err == nil {
			_, err = parse(o)
		}
		if fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestIncludeListMatchesWholeNames(t *testing.T) {
	for _, c := range []struct {
		list, topic string
		want        bool
	}{{"a", "a", true}, {"a", "ab", false}, {"a,b", "b", true}, {` "a.*" `, "abc", true}, {"a, b", "b", true}, {`a\.b`, "axb", false}} {
		re, err := IncludeList(c.list)
		if err != nil || re.MatchString(c.topic) != c.want {
			t.Errorf("%q on %q: %v, want %v", c.list, c.topic, err, c.want)
		}
	}
	if _, err := IncludeList("["); fmt.Sprint(err) != "[ is an invalid regex." {
		t.Error(err)
	}
}

func TestAssignments(t *testing.T) {
	got, err := parseAssignment("0:1, 1:2")
	if err != nil || fmt.Sprint(got) != "[[0 1] [1 2]]" {
		t.Errorf("%v %v", got, err)
	}
	for in, want := range map[string]string{
		"0:0":   "Partition replica lists may not contain duplicate entries: 0",
		"0,1:2": "Partition 1 has different replication factor: 1,2",
		"x":     `For input string: "x"`,
	} {
		if _, err := parseAssignment(in); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestSettingsAreCheckedBeforeAnythingIsAsked(t *testing.T) {
	for in, want := range map[string]string{
		"retention.ms = 5":             "<nil>",
		"foo=1":                        "Unknown topic config name: foo",
		"retention.ms=x":               "Invalid value x for configuration retention.ms: Not a number of type LONG",
		"max.message.bytes=3000000000": "Invalid value 3000000000 for configuration max.message.bytes: Not a number of type INT",
		"preallocate=maybe":            "Invalid value maybe for configuration preallocate: Expected value to be either true or false",
		"retention.ms":                 `requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`,
		"retention.ms=":                `requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`,
	} {
		if _, err := parseSettings(&command{config: []string{in}}, bufio.NewWriter(&bytes.Buffer{})); fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestPartitionsAsDescribed(t *testing.T) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	printTopic(w, "t", 2, 2, []setting{{"a", "1"}, {"b", ""}}, true)
	printPartition(w, "t", &partition{leader: 1, replicas: []int32{1, 2}, isr: []int32{1}}, false)
	printPartition(w, "t", &partition{id: 1, leader: -1, replicas: []int32{1, 2, 3}, moving: true, adding: []int32{3}}, true)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "Topic: t\tPartitionCount: 2\tReplicationFactor: 2\tConfigs: a=1,b=\tMarkedForDeletion: true\n" +
		"\tTopic: t\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1\n" +
		"\tTopic: t\tPartition: 1\tLeader: none\tReplicas: 1,2,3\tIsr: \tAdding Replicas: 3\tRemoving Replicas: \tMarkedForDeletion: true\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}

func TestReportsPickPartitions(t *testing.T) {
	whole := &partition{leader: 1, replicas: []int32{1, 2}, isr: []int32{1, 2}}
	behind := &partition{leader: 1, replicas: []int32{1, 2}, isr: []int32{1}}
	headless := &partition{leader: -1, replicas: []int32{1, 2}, isr: []int32{2}}
	growing := &partition{leader: 1, replicas: []int32{1, 2, 3}, isr: []int32{1, 2}, moving: true, adding: []int32{3}}
	live := map[int32]bool{1: true}
	for _, c := range []struct {
		name string
		r    report
		want string
	}{
		{"under-replicated", report{underRepl: true}, "false true true false"},
		{"unavailable", report{unavailable: true, live: live}, "false false true false"},
		{"under min isr", report{underMinISR: true}, "false true true false"},
		{"at min isr", report{atMinISR: true}, "true false false true"},
	} {
		got := fmt.Sprint(c.r.shows(whole, 2), c.r.shows(behind, 2), c.r.shows(headless, 2), c.r.shows(growing, 2))
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
