package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/integration/peer"
)

// TestLagOverBrokers: a group's coordinator shows the lag of partitions that it leads and of those that the other broker leads, and so does
// gregor cluster status.
func TestLagOverBrokers(t *testing.T) {
	_, ctx := interop(t, 3*time.Minute)
	dir := t.TempDir()
	zk, err := peer.StartGregorZooKeeper(ctx, dir+"/zk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zk.Close)
	var brokers []*peer.Broker
	var ports []int
	for id := range 2 {
		port, err := peer.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
		brokers = append(brokers, startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Dir: fmt.Sprint(dir, "/", id), ID: id, ZooKeeper: zk.Addr,
			Config: map[string]string{"metrics.listener": net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}}))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers[0].Addr), kgo.DefaultProduceTopic("lagging"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(ctx, 2, 1, nil, "lagging"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ctx, "a leader of each partition", func() bool {
		topics, err := adm.ListTopics(ctx, "lagging")
		return err == nil && len(topics["lagging"].Partitions) == 2 && topics["lagging"].Partitions[0].Leader >= 0 && topics["lagging"].Partitions[1].Leader >= 0 &&
			topics["lagging"].Partitions[0].Leader != topics["lagging"].Partitions[1].Leader
	})
	for p := range int32(2) {
		for range 10 {
			r := kgo.StringRecord("v")
			r.Partition = p
			if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("lagging", 0, 7, -1)
	offsets.AddOffset("lagging", 1, 5, -1)
	waitFor(t, ctx, "a coordinator", func() bool { return adm.CommitAllOffsets(ctx, "readers", offsets) == nil })
	lag := regexp.MustCompile(`kafka_consumergroup_lag\{consumergroup="readers",topic="lagging",partition="(\d)"\} (\d+)`)
	var got map[string]string
	waitFor(t, ctx, "the lag of both partitions", func() bool {
		got = map[string]string{}
		for _, port := range ports {
			text, err := scrape(ctx, port)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range lag.FindAllStringSubmatch(text, -1) {
				got[m[1]] = m[2]
			}
		}
		return len(got) == 2
	})
	if got["0"] != "3" || got["1"] != "5" {
		t.Errorf("lag %v, want 3 and 5", got)
	}
	bin, err := peer.GregorBinary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, bin, "cluster", "status", "--bootstrap-server", brokers[0].Addr, "--json", "--timeout", "30000").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var status struct {
		Groups []struct {
			Group, State, MostBehind string
			Lag                      int64
		}
	}
	if err := json.Unmarshal(out, &status); err != nil || len(status.Groups) != 1 || status.Groups[0].Lag != 8 || status.Groups[0].MostBehind != "lagging-1" {
		t.Errorf("%v: %s", err, out)
	}
}

// scrape reads what a broker shows at its metrics port.
func scrape(ctx context.Context, port int) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
