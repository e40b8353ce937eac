package argparse

import (
	"fmt"
	"strings"
	"testing"
)

func testParser() *Parser {
	return &Parser{Prog: "p", About: "It tests.", Args: []Arg{
		{Name: "--topic", Meta: "TOPIC", Required: true},
		{Name: "--throughput", Kind: Int, Meta: "N", Default: "-1"},
		{Name: "--num-records", Kind: Long, Meta: "N"},
		{Name: "--props", Kind: Many, Meta: "K=V"},
		{Name: "--verbose", Kind: Flag},
		{Name: "--acks", Kind: Int, Meta: "ACKS", Choices: []string{"0", "1", "-1"}},
		{Name: "--size", Kind: Int, Meta: "SIZE", Group: true, Doc: "how large"},
		{Name: "--file", Meta: "FILE", Group: true},
	}}
}

// What argparse4j 0.7.0 made of these words.
func TestParseAsArgparse4j(t *testing.T) {
	for args, want := range map[string]string{
		"--topic a --size 1":             "",
		"--topic=a --size=1":             "",
		"--topic a --topic b --si 1":     "",
		"--foo":                          "unrecognized arguments: '--foo'",
		"extra --topic a":                "unrecognized arguments: 'extra --topic a'",
		"--topic":                        "argument --topic: expected one argument",
		"--topic a --props":              "argument --props: expected 1 argument(s)",
		"--size 1":                       "argument --topic is required",
		"--topic a":                      "one of the arguments --size --file is required",
		"--topic a --size 1 --file f":    "argument --file: not allowed with argument --size",
		"--topic a --size x":             `argument --size: could not convert 'x' to Integer (For input string: "x")`,
		"--topic a --size 3000000000":    `argument --size: could not convert '3000000000' to Integer (For input string: "3000000000")`,
		"--topic a --num x":              `argument --num-records: could not convert 'x' to Long (For input string: "x")`,
		"--t a":                          "ambiguous option: --t could match --topic, --throughput",
		"--topic a --size 1 --acks 5":    "argument --acks: invalid choice: '5' (choose from {0,1,-1})",
		"--topic a --size 1 --verbose x": "unrecognized arguments: 'x'",
	} {
		_, err := testParser().Parse(strings.Fields(args))
		if got := strings.TrimPrefix(fmt.Sprint(err), "<nil>"); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

func TestNegativeNumbersAreValues(t *testing.T) {
	o, err := testParser().Parse(strings.Fields("--topic a --size -5 --props a=b c=d --verbose --throughput -1"))
	if err != nil || o.Int("--size") != -5 || len(o.Values("--props")) != 2 || !o.Has("--verbose") || o.Int("--throughput") != -1 {
		t.Errorf("%v %v", o, err)
	}
}

func TestUsageAndMessageAreShown(t *testing.T) {
	var b strings.Builder
	if code := testParser().Fail(&b, Error("no")); code != 1 {
		t.Error(code)
	}
	want := `usage: p [-h] --topic TOPIC [--throughput N] [--num-records N]
         [--props K=V [K=V ...]] [--verbose] [--acks ACKS]
         (--size SIZE | --file FILE)
p: error: no
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
