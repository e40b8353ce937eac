package zookeepershell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	usageLine     = "USAGE: zookeeper-shell zookeeper_host:port[/path] [-zk-tls-config-file file] [args...]"
	defaultServer = "localhost:2181"
)

// settings are what stands before the command.
type settings struct {
	server  string
	timeout time.Duration
	command []string
}

// Main runs the shell as zookeeper-shell.sh does: the first word is the server. It returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stdout, usageLine)
		return 1
	}
	if args[0] == "--help" || args[0] == "-h" {
		fmt.Fprintln(stdout, usageLine)
		(&shell{err: stdout}).help()
		return 1
	}
	return Class(append([]string{"-server"}, args...), stdin, stdout, stderr)
}

// Class runs the shell as the Java class does: the server is behind -server.
func Class(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s, err := parse(args)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	sh := &shell{settings: s, out: &printer{w: stdout}, err: stderr, history: map[int]string{}, watching: map[string]bool{}}
	sh.watches.Store(true)
	defer sh.close()
	sh.connect(s.server)
	if len(s.command) > 0 {
		sh.history[0] = "null"
		sh.run(s.command)
		return sh.code
	}
	sh.out.printf("Welcome to ZooKeeper!\nJLine support is disabled\n")
	return sh.interact(stdin)
}

func parse(args []string) (settings, error) {
	s := settings{server: defaultServer, timeout: 30 * time.Second}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		opt := args[0]
		args = args[1:]
		if opt == "-r" {
			continue // a read-only session: there is only one server to speak to
		}
		if opt != "-server" && opt != "-timeout" && opt != "-zk-tls-config-file" {
			continue // as the Java class, which knows no other
		}
		if len(args) == 0 {
			return s, fmt.Errorf("Error: no argument found for option %s", opt)
		}
		value := args[0]
		args = args[1:]
		switch opt {
		case "-server":
			s.server = value
		case "-timeout":
			ms, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return s, fmt.Errorf(`Exception in thread "main" java.lang.NumberFormatException: For input string: %q`, value)
			}
			s.timeout = time.Duration(ms) * time.Millisecond
		case "-zk-tls-config-file":
			return s, errors.New("-zk-tls-config-file: this shell speaks plain text only so far; use ZooKeeper's clientPort instead of its secureClientPort")
		}
	}
	s.command = args
	return s, nil
}

// interact reads commands until quit or the end of input.
func (sh *shell) interact(stdin io.Reader) int {
	lines := bufio.NewReader(stdin)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); line != "" || err == nil {
			sh.line(line)
			if sh.quit {
				return sh.code
			}
		}
		if err != nil {
			return sh.code
		}
	}
}

// line runs one line of input.
func (sh *shell) line(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	sh.history[sh.count] = line
	sh.run(split(line))
	sh.count++
}

var word = regexp.MustCompile(`\s*([^"']\S*|"[^"]*"|'[^']*')\s*`)

// split cuts a line into words; quotes keep blanks together.
func split(line string) []string {
	var words []string
	for _, m := range word.FindAllStringSubmatch(line, -1) {
		w := m[1]
		if n := len(w); n >= 2 && (w[0] == '"' || w[0] == '\'') && w[n-1] == w[0] {
			w = w[1 : n-1]
		}
		words = append(words, w)
	}
	return words
}
