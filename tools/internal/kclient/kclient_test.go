package kclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Orders that Apache Kafka 2.7.2's kafka-topics.sh printed.
func TestHashOrderIsJavas(t *testing.T) {
	for _, c := range []struct {
		keys     []string
		capacity int
		want     []string
	}{
		{[]string{"cleanup.policy", "compression.type", "segment.bytes"}, 0, []string{"compression.type", "cleanup.policy", "segment.bytes"}},
		{[]string{"__consumer_offsets", "a_b.c", "bad", "t2"}[1:], 3, []string{"bad", "a_b.c", "t2"}},
	} {
		if got := HashOrder(c.keys, c.capacity); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, want %v", c.keys, got, c.want)
		}
	}
}

func TestErrorsHaveJavasClassesAndTheBrokersWords(t *testing.T) {
	text := "Topic 'a' already exists."
	for _, c := range []struct {
		err  error
		want string
	}{
		{Error(kerr.TopicAlreadyExists.Code, &text), "org.apache.kafka.common.errors.TopicExistsException: Topic 'a' already exists."},
		{Error(kerr.TopicAlreadyExists.Code, nil), "org.apache.kafka.common.errors.TopicExistsException: Topic with this name already exists."},
		{Error(kerr.InvalidPartitions.Code, &text), "org.apache.kafka.common.errors.InvalidPartitionsException: " + text},
		{Error(kerr.InvalidReplicationFactor.Code, &text), "org.apache.kafka.common.errors.InvalidReplicationFactorException: " + text},
	} {
		var api *APIError
		if !errors.As(c.err, &api) || api.Trace() != c.want {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	if Error(0, &text) != nil {
		t.Error("code 0 is no error")
	}
}

func TestServersAreCheckedLikeBootstrapServers(t *testing.T) {
	got, err := Servers(" a:1 ,PLAINTEXT://b:2,,[::1]:3")
	if err != nil || !reflect.DeepEqual(got, []string{"a:1", "b:2", "[::1]:3"}) {
		t.Errorf("%v %v", got, err)
	}
	for list, want := range map[string]string{
		"a":       "Invalid url in bootstrap.servers: a",
		"a:99999": "Invalid url in bootstrap.servers: a:99999",
		",":       "No resolvable bootstrap urls given in bootstrap.servers",
	} {
		if _, err := Servers(list); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, want %s", list, err, want)
		}
	}
}

func TestProtectionThatIsNotThereIsRefused(t *testing.T) {
	c := Config{Servers: "a:1", Props: map[string]string{"security.protocol": "SASL_SSL"}}
	if _, err := c.Options(); err == nil {
		t.Error("SASL_SSL was ignored")
	}
}

func TestAnUnreachableBrokerIsTriedUntilTheTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		client, err := kgo.NewClient(kgo.SeedBrokers("nowhere:1"), kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
			tries++
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = Request(ctx, client, kmsg.NewPtrMetadataRequest())
		if !errors.Is(err, context.DeadlineExceeded) || tries < 50 {
			t.Errorf("%v after %d tries", err, tries)
		}
		if got := Wrap(err, "listTopics"); errors.Unwrap(got).Error() != "Timed out waiting for a node assignment. Call: listTopics" {
			t.Error(got)
		}
	})
}

// Orders that Apache Kafka 2.7.2's kafka-log-dirs.sh and kafka-delete-records.sh printed.
func TestPartitionsComeInTheOrderOfKafkasTables(t *testing.T) {
	tp := func(topic string, p int32) TopicPartition { return TopicPartition{topic, p} }
	t1 := []TopicPartition{tp("t1", 0), tp("t1", 1), tp("t1", 2)}
	if got := fmt.Sprint(HashOrderPartitions(t1[:2], 3)); got != "[t1-1 t1-0]" {
		t.Error(got)
	}
	if ScalaOrder(t1); fmt.Sprint(t1) != "[t1-2 t1-1 t1-0]" {
		t.Error(t1)
	}
}

func TestAnUncaughtErrorReadsLikeJavas(t *testing.T) {
	var b strings.Builder
	code := Uncaught(&b, Executed(Error(kerr.InvalidTopicException.Code, nil)))
	const e = "org.apache.kafka.common.errors.InvalidTopicException: The request attempted to perform an operation on an invalid topic."
	if want := "Exception in thread \"main\" java.util.concurrent.ExecutionException: " + e + "\nCaused by: " + e + "\n"; code != 1 || b.String() != want {
		t.Errorf("%d %q, want %q", code, b.String(), want)
	}
}
