// Command gregor is the one multi-call binary: the broker, the embedded ZooKeeper and every script.
//
// A call names its command as first word (`gregor kafka-topics --list ...`) or by the name it is called under
// (`kafka-topics.sh`, a link to the binary). Without a command it starts the broker.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gregor/tools/internal/cli"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run finds the command for argv and runs it.
func run(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	args := argv[1:]
	if c := find(strings.TrimSuffix(filepath.Base(argv[0]), ".sh")); c != nil {
		return c.main(args, stdin, stdout, stderr)
	}
	if len(args) == 0 {
		return serve(nil, stdin, stdout, stderr)
	}
	switch name := args[0]; name {
	case "help", "--help", "-h":
		if len(args) > 1 {
			c := find(strings.TrimSuffix(args[1], ".sh"))
			if c == nil {
				return unknown(args[1], stderr)
			}
			c.main([]string{"--help"}, stdin, stdout, stdout)
			return 0
		}
		return help(stdout)
	case "completion":
		return completion(args[1:], stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, cli.Version)
		return 0
	default:
		c := find(strings.TrimSuffix(name, ".sh"))
		if c == nil {
			return unknown(name, stderr)
		}
		return c.main(args[1:], stdin, stdout, stderr)
	}
}

func unknown(name string, stderr io.Writer) int {
	fmt.Fprintf(stderr, "gregor: no command %q; `gregor help` lists them\n", name)
	return 1
}

func help(w io.Writer) int {
	fmt.Fprint(w, "gregor COMMAND [ARGUMENTS]   (each command also as scripts/COMMAND.sh; --help tells its arguments)\n\n")
	for i := range commands {
		fmt.Fprintf(w, "  %-26s %s\n", commands[i].name, commands[i].about)
	}
	fmt.Fprintf(w, "  %-26s %s\n  %-26s %s\n  %-26s %s\n\nWithout a command gregor starts a broker and the embedded ZooKeeper.\n",
		"help [COMMAND]", "this text, or a command's flags", "completion bash|zsh", "a script that completes commands and flags", "version", "the version of Kafka that Gregor stands for")
	return 0
}
