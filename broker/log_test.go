package broker_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gregor/broker"
	"gregor/internal/logging"
	"gregor/internal/vfs"
)

// lines is a log's output, safe to read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The lines that people look for, in Kafka's words and under Kafka's loggers, in a broker's short life.
func TestLogHasTheLinesPeopleLookFor(t *testing.T) {
	var out lines
	log, err := logging.New(&out, "kafka", "info")
	if err != nil {
		t.Fatal(err)
	}
	runLogged(t, vfs.NewMem(), nil, log, func(ctx context.Context, b *broker.Broker) { use(ctx, t, b.Addr("PLAINTEXT").String()) })
	for _, want := range []string{
		`INFO \[Controller id=0\] 0 successfully elected as the controller\. Epoch incremented to 1 and epoch zk version is now \d+ \(kafka\.controller\.KafkaController\)`,
		`INFO \[Controller id=0 epoch=1\] Changed partition used-1 from NewPartition to OnlinePartition with state LeaderAndIsr\(leader=0, leaderEpoch=0, isr=List\(0\), zkVersion=0\) \(state\.change\.logger\)`,
		`INFO Created log for partition used-0 in /memory/[ab]/used-0 \(kafka\.log\.LogManager\)`,
		`INFO \[Broker id=0\] Leader used-0 starts at leader epoch 0 from offset 0 with high watermark 0 ISR \[0\] .*\(state\.change\.logger\)`,
		`INFO \[KafkaServer id=0\] shutting down \(kafka\.server\.KafkaServer\)`,
		`INFO \[KafkaServer id=0\] shut down completed \(kafka\.server\.KafkaServer\)`,
	} {
		if !regexp.MustCompile(`(?m)^\[[0-9,: -]+\] ` + want + `$`).MatchString(out.String()) {
			t.Errorf("no line %s in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "Completed request") {
		t.Error("requests are logged although nobody asked")
	}
}

func TestRequestLogIsKafkasAndOnDemand(t *testing.T) {
	var out lines
	log, err := logging.New(&out, "kafka", "info")
	if err != nil {
		t.Fatal(err)
	}
	if err := logging.LevelsOf(log).Set("kafka.request.logger", "DEBUG"); err != nil {
		t.Fatal(err)
	}
	runLogged(t, vfs.NewMem(), nil, log, func(ctx context.Context, b *broker.Broker) { use(ctx, t, b.Addr("PLAINTEXT").String()) })
	want := regexp.MustCompile(`DEBUG Completed request:RequestHeader\(apiKey=PRODUCE, apiVersion=8, clientId=kgo, correlationId=\d+\) -- \{acks=-1,timeout=\d+,numPartitions=1\},` +
		`response:\{.*error_code=0.*\} from connection 127\.0\.0\.1:\d+-127\.0\.0\.1:\d+-\d+;totalTime:[\d.]+,requestQueueTime:0\.0,localTime:[\d.]+,remoteTime:0\.0,` +
		`throttleTime:0,responseQueueTime:[\d.]+,sendTime:[\d.]+,securityProtocol:PLAINTEXT,principal:User:ANONYMOUS,listener:PLAINTEXT,` +
		`clientInformation:ClientInformation\(.*\) \(kafka\.request\.logger\)\n`)
	if !want.MatchString(out.String()) {
		t.Errorf("no line of a produce request in %.4000s", out.String())
	}
	if !strings.Contains(out.String(), "apiKey=FETCH, apiVersion=1") {
		t.Error("no line of a fetch request")
	}
}
