package scripts

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// An interrupted consumer says how much it printed and ends with 130, as a JVM does.
func TestInterruptTellsHowMuchWasRead(t *testing.T) {
	at := onGregor(t, t.Context(), 1)
	var names [][]string
	names = append(names, []string{at.bin, "kafka-console-consumer"})
	if os.Getenv("GREGOR_INTEROP") == "1" {
		j, err := newJava(t.TempDir(), "kafka-2.7.2")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, append([]string{"java"}, append(j.options(), classes["kafka-console-consumer"])...))
	}
	run := func(stdin string, words ...string) {
		t.Helper()
		if r, err := command(t.Context(), []byte(stdin), at.bin, words...); err != nil || r.code != 0 {
			t.Fatalf("%v: %v %+v", words, err, r)
		}
	}
	run("", "kafka-topics", "--bootstrap-server", at.broker, "--create", "--topic", "t")
	run("a\nb\n", "kafka-console-producer", "--bootstrap-server", at.broker, "--topic", "t")
	for _, argv := range names {
		cmd := exec.CommandContext(t.Context(), argv[0], append(argv[1:], "--bootstrap-server", at.broker, "--topic", "t", "--partition", "0", "--offset", "0")...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		for range 2 {
			if _, err := r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code is looked at below
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.HasSuffix(errs.String(), "Processed a total of 2 messages\n") {
			t.Errorf("%s: exit %d\n%s", argv[0], code, &errs)
		}
	}
}
