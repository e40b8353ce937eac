package cli

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func testParser() *Parser {
	return New(
		Opt{Name: "topic", Kind: String, Arg: "topic", Doc: "a topic"},
		Opt{Name: "partitions", Kind: Int, Default: "1", Doc: "how many"},
		Opt{Name: "codec", Kind: String, Optional: true},
		Opt{Name: "long", Kind: Long},
		Opt{Name: "list", Doc: "list them"},
		Opt{Name: "help", Help: true},
		Opt{Name: "boot", Kind: String, Unless: "brok"},
		Opt{Name: "brok", Kind: String},
	)
}

// What jopt-simple 5.0.4 made of these words.
func TestParseAsJoptSimple(t *testing.T) {
	for _, c := range []struct {
		args  string
		topic string
		codec bool
		rest  []string
		err   string
	}{
		{args: "--brok b --topic= foo", topic: "", rest: []string{"foo"}},
		{args: "--brok b --topic --list", topic: "--list"},
		{args: "--brok b -topic a", topic: "a"},
		{args: "--brok=b -topic=a", topic: "a"},
		{args: "--foo", err: "UnrecognizedOptionException: foo is not a recognized option"},
		{args: "-foo", err: "UnrecognizedOptionException: f is not a recognized option"},
		{args: "-list --brok="},
		{args: "--brok b --codec --list", codec: true},
		{args: "--brok b --codec gz", codec: true},
		{args: "--brok b --codec", codec: true},
		{args: "--brok b --codec -x", err: "UnrecognizedOptionException: x is not a recognized option"},
		{args: "--brok b --partitions x", err: "OptionArgumentConversionException: Cannot parse argument 'x' of option partitions"},
		{args: "--brok b --partitions +5"},
		{args: "--brok b --partitions 3000000000", err: "OptionArgumentConversionException: Cannot parse argument '3000000000' of option partitions"},
		{args: "--brok b --long 3000000000"},
		{args: "--brok b --topic a --topic b", err: "MultipleArgumentsForOptionException: Found multiple arguments for option topic, but you asked for only one"},
		{args: "--brok b --list=3"},
		{args: "--brok b -- --list", rest: []string{"--list"}},
		{args: "", err: "MissingRequiredOptionsException: Missing required option(s) [boot]"},
		{args: "--help"},
		{args: "--help --foo", err: "UnrecognizedOptionException: foo is not a recognized option"},
		{args: "--brok b a - b", rest: []string{"a", "-", "b"}},
		{args: "--brok b --topic", err: "OptionMissingRequiredArgumentException: Option topic requires an argument"},
		{args: "--brok b --list --list"},
		{args: "--brok b --top x", err: "UnrecognizedOptionException: top is not a recognized option"},
	} {
		o, err := testParser().Parse(strings.Fields(c.args))
		if err == nil {
			err = o.Check("topic")
		}
		if c.err != "" {
			var oe *OptionError
			if !errors.As(err, &oe) || oe.Class+": "+oe.Message != c.err {
				t.Errorf("%q: error %v, want %s", c.args, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if got := o.String("topic"); got != c.topic {
			t.Errorf("%q: topic %q, want %q", c.args, got, c.topic)
		}
		if o.Has("codec") != c.codec || !reflect.DeepEqual(o.Rest, c.rest) {
			t.Errorf("%q: codec %v rest %q, want %v %q", c.args, o.Has("codec"), o.Rest, c.codec, c.rest)
		}
	}
}

func TestDefaultsHoldUntilGiven(t *testing.T) {
	o, err := testParser().Parse([]string{"--brok", "b"})
	if err != nil || o.Int("partitions") != 1 || o.Has("partitions") {
		t.Errorf("without the option: %d, has %v, %v", o.Int("partitions"), o.Has("partitions"), err)
	}
	o, err = testParser().Parse([]string{"--brok", "b", "--partitions", "7"})
	if err != nil || o.Int("partitions") != 7 {
		t.Errorf("with the option: %d, %v", o.Int("partitions"), err)
	}
}

func TestRefusalsHaveKafkasWords(t *testing.T) {
	o, err := testParser().Parse([]string{"--brok", "b", "--list"})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Require("list", "topic"); fmt.Sprint(err) != `Missing required argument "[topic]"` {
		t.Error(err)
	}
	if err := o.Conflict("list", "topic", "brok"); fmt.Sprint(err) != `Option "[list]" can't be used with option "[brok]"` {
		t.Error(err)
	}
	if err := o.Conflict("topic", "brok"); err != nil {
		t.Error(err)
	}
}

func TestHelpHasTwoColumnsOfAtMostEightyCharacters(t *testing.T) {
	var b strings.Builder
	p := New(
		Opt{Name: "zebra", Doc: "comes last"},
		Opt{Name: "a-name-with-an-argument", Kind: String, Arg: "an argument whose name is long", Default: "x",
			Doc: "A description that does not fit on one line of a terminal and is broken where a word ends."})
	if code := p.Usage(&b, "What it is."); code != 1 {
		t.Errorf("exit code %d", code)
	}
	want := `What it is.
Option                                   Description                            
------                                   -----------                            
--a-name-with-an-argument <String: an    A description that does not fit on one 
  argument whose name is long>             line of a terminal and is broken     
                                           where a word ends. (default: x)      
--zebra                                  comes last                             
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestKeyValuesKeepEqualsSignsInValues(t *testing.T) {
	got := KeyValues([]string{"a=b=c", "d=", "e"})
	if want := map[string]string{"a": "b=c", "d": "", "e": ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
