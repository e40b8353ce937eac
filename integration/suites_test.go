package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
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
	root, err := peer.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "scripts", "dev", "suites.sh")
	var brokers []*peer.Broker
	var env []string
	if suite == "sarama" {
		brokers, env = behindProxies(t, ctx, script, kind)
	} else {
		config := map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4", "group.min.session.timeout.ms": "1000"}
		brokers = append(brokers, txnBroker(t, ctx, peer.Options{Kind: kind, Config: config}))
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, script, suite, brokers[0].Addr)
	cmd.Env = append(os.Environ(), env...)
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
	for _, b := range brokers {
		b.Close()
	}
	return verdicts
}

// behindProxies starts three brokers, which clients and each other reach through a toxiproxy, and returns what sarama's tests want to know.
func behindProxies(t *testing.T, ctx context.Context, script string, kind peer.Kind) (brokers []*peer.Broker, env []string) {
	t.Helper()
	const proxies, size = 5, 3
	base := freePorts(t, proxies)
	port, err := peer.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	api := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, cancel := context.WithCancel(ctx)
	server := exec.CommandContext(ctx, script, "toxiproxy", api)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = server.Wait()
	})
	waitFor(t, ctx, "toxiproxy", func() bool {
		resp, err := http.Get("http://" + api + "/version")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	zooKeeper := startZooKeeper(t, ctx).Addr
	for i := 1; i <= proxies; i++ {
		front := fmt.Sprintf("127.0.0.1:%d", base+i)
		port, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		upstream := fmt.Sprintf("127.0.0.1:%d", port)
		if i > size { // a seed that leads to the first broker
			upstream = brokers[0].Addr
		}
		body := fmt.Sprintf(`{"name":"kafka%d","listen":%q,"upstream":%q,"enabled":true}`, i, front, upstream)
		resp, err := http.Post("http://"+api+"/proxies", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("toxiproxy answers %s to %s", resp.Status, body)
		}
		if i <= size {
			brokers = append(brokers, startBroker(t, ctx, peer.Options{Kind: kind, ID: i, Port: port, ZooKeeper: zooKeeper, Config: map[string]string{
				"advertised.listeners": "PLAINTEXT://" + front, "offsets.topic.replication.factor": "3", "offsets.topic.num.partitions": "5",
				"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2", "transaction.state.log.num.partitions": "5",
				"default.replication.factor": "3", "auto.create.topics.enable": "true",
			}}))
		}
	}
	return brokers, []string{fmt.Sprint("SARAMA_PORT=", base), "TOXIPROXY_ADDR=http://" + api}
}

// freePorts returns a port behind which n others in a row are free, below those that peer.FreePort gives out.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for base := 21000; base < 27000; base += 10 {
		free := 0
		for i := 1; i <= n; i++ {
			if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i)); err == nil {
				ln.Close()
				free++
			}
		}
		if free == n {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
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
