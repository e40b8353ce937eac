package integration

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gregor/integration/peer"
)

// TestSuites runs what client libraries test their groups and transactions with (scripts/dev/suites.sh), from their own sources, against both
// brokers: what passes on Apache Kafka passes on Gregor. With FULL=1; SUITE=franz-go chooses one.
func TestSuites(t *testing.T) {
	if _, ctx := interop(t, time.Minute); !full() || ctx == nil {
		t.Skip("with FULL=1")
	}
	for _, suite := range []string{"franz-go", "kafka-python", "sarama"} {
		if chosen := os.Getenv("SUITE"); chosen != "" && chosen != suite {
			continue
		}
		t.Run(suite, func(t *testing.T) {
			verdicts := map[peer.Kind]map[string]string{}
			for _, kind := range []peer.Kind{peer.Kafka, peer.Gregor} {
				if chosen := os.Getenv("INTEROP_BROKER"); chosen != "" && chosen != string(kind) {
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
				defer cancel()
				verdicts[kind] = runSuite(t, ctx, suite, kind)
			}
			compareVerdicts(t, verdicts)
		})
	}
}

// runSuite returns what came of each test.
func runSuite(t *testing.T, ctx context.Context, suite string, kind peer.Kind) map[string]string {
	t.Helper()
	config := map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"}
	b := txnBroker(t, ctx, peer.Options{Kind: kind, Config: config})
	root, err := peer.Root()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "dev", "suites.sh"), suite, b.Addr)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, log
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Errorf("%s against %s: %v", suite, kind, err)
	}
	verdicts := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if verdict, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			verdicts[name] = verdict
		}
	}
	count := map[string]int{}
	for name, v := range verdicts {
		count[v]++
		if v == "fail" {
			t.Logf("%s: %s fails against %s", suite, name, kind)
		}
	}
	t.Logf("%s against %s: %v in %.0f s", suite, kind, count, time.Since(began).Seconds())
	if to := os.Getenv("SUITE_LOG"); to != "" {
		text, _ := os.ReadFile(log.Name())
		if err := os.WriteFile(to+"-"+suite+"-"+string(kind), text, 0o644); err != nil {
			t.Error(err)
		}
	}
	b.Close()
	return verdicts
}

func compareVerdicts(t *testing.T, verdicts map[peer.Kind]map[string]string) {
	t.Helper()
	theirs, ours := verdicts[peer.Kafka], verdicts[peer.Gregor]
	if theirs == nil || ours == nil {
		return
	}
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		switch {
		case theirs[name] == "pass" && ours[name] != "pass":
			t.Errorf("%s passes on Apache Kafka, on Gregor: %q", name, ours[name])
		case theirs[name] == "pass":
			passed++
		case theirs[name] != ours[name]:
			t.Logf("%s: %s on Apache Kafka, %s on Gregor", name, theirs[name], ours[name])
		}
	}
	if passed == 0 {
		t.Error("no test passes on both")
	}
}
