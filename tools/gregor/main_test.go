package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"gregor"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// Every command explains itself, to `gregor help` and to `--help`, and is a script of its own, but for the one that Kafka does not have.
func TestEveryCommandIsExplained(t *testing.T) {
	_, list, _ := call("help")
	var scripts []string
	for i := range commands {
		name := commands[i].name
		if !strings.Contains(list, "\n  "+name+" ") {
			t.Errorf("help does not name %s", name)
		}
		code, stdout, stderr := call("help", name)
		if code != 0 || stderr != "" || len(stdout) < 20 || strings.Contains(stdout, "no such file") || strings.Contains(stdout, "Exception") {
			t.Errorf("help %s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
		if name != "cluster" {
			scripts = append(scripts, name+".sh")
		}
	}
	files, err := filepath.Glob("../../scripts/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	slices.Sort(scripts)
	slices.Sort(files)
	if !slices.Equal(scripts, files) {
		t.Errorf("commands %q\nscripts  %q", scripts, files)
	}
}

func TestAnUnknownCommandIsNamed(t *testing.T) {
	for _, args := range [][]string{{"kafka-toppics"}, {"help", "kafka-toppics"}} {
		code, stdout, stderr := call(args...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, `no command "kafka-toppics"`) {
			t.Errorf("%q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestCompletionOffersEveryCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh"} {
		code, stdout, _ := call("completion", shell)
		for i := range commands {
			if name := commands[i].name; code != 0 || !strings.Contains(stdout, " "+name+" ") && !strings.Contains(stdout, `"`+name+" ") || !strings.Contains(stdout, " "+name+".sh") {
				t.Errorf("%s, exit code %d: %s is missing", shell, code, name)
			}
		}
	}
}

// Whoever copies the address that a broker prints must reach it.
func TestAnAddressToCopy(t *testing.T) {
	for given, want := range map[string]string{"0.0.0.0": "localhost:9092", "::": "localhost:9092", "127.0.0.1": "127.0.0.1:9092", "::1": "[::1]:9092"} {
		if got := reachable(&net.TCPAddr{IP: net.ParseIP(given), Port: 9092}); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}

// What cannot start says which key to change.
func TestAPortInUseNamesItsKey(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	file := filepath.Join(t.TempDir(), "zookeeper.properties")
	text := "dataDir=" + t.TempDir() + "\nclientPort=" + port + "\nclientPortAddress=127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call("zookeeper-server-start", file)
	if code != 1 || !strings.HasPrefix(stderr, "gregor: ZooKeeper cannot listen on "+ln.Addr().String()) || !strings.Contains(stderr, "clientPort") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
