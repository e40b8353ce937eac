package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"

	"gregor/integration/peer"
)

// batch is what GoldenBatches.java encodes; []byte is base64 in JSON, nil is null.
type batch struct {
	Codec         string   `json:"codec"`
	Magic         int8     `json:"magic"`
	ProducerID    int64    `json:"producerId"`
	ProducerEpoch int16    `json:"producerEpoch"`
	BaseSequence  int32    `json:"baseSequence"`
	Transactional bool     `json:"transactional"`
	Records       []record `json:"records"`
}

type record struct {
	Timestamp int64    `json:"timestamp"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers,omitempty"`
}

type header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// encode has Apache Kafka's own classes encode the batches.
func encode(ctx context.Context, batches []batch) ([][]byte, error) {
	cp, err := peer.Classpath("kafka-2.7.2")
	if err != nil {
		return nil, err
	}
	root, err := peer.Root()
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(batches)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-cp", cp, filepath.Join(root, "integration", "java", "GoldenBatches.java"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("GoldenBatches.java: %w\n%s", err, stderr.String())
	}
	var encoded [][]byte
	for line := range strings.Lines(string(out)) {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, b)
	}
	if len(encoded) != len(batches) {
		return nil, fmt.Errorf("GoldenBatches.java encoded %d of %d batches", len(encoded), len(batches))
	}
	return encoded, nil
}

// epochMillis is the timestamp that records begin at: a fixed one, so that a recording can be repeated.
const epochMillis = 1_600_000_000_000

// source makes the same records in every run.
type source struct {
	rand *rand.Rand
	now  int64
	step int64 // milliseconds from one record to the next
}

func newSource(seed uint64) *source {
	return &source{rand: rand.New(rand.NewPCG(seed, 2)), now: epochMillis, step: 7}
}

var words = strings.Fields("as Gregor Samsa awoke one morning from uneasy dreams he found himself transformed in his bed into a gigantic insect")

func (s *source) text(n int) []byte {
	var b []byte
	for len(b) < n {
		b = append(b, words[s.rand.IntN(len(words))]...)
		b = append(b, ' ')
	}
	return b[:n]
}

// record is a keyed record with a value of n bytes.
func (s *source) record(n int) record {
	s.now += s.step
	return record{Timestamp: s.now, Key: fmt.Appendf(nil, "key-%d", s.rand.IntN(50)), Value: s.text(n)}
}

// plain is a batch of n records, without a producer id, whose values have up to size bytes.
func (s *source) plain(codec string, n, size int) batch {
	b := batch{Codec: codec, Magic: 2, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	for range n {
		b.Records = append(b.Records, s.record(1+s.rand.IntN(size)))
	}
	return b
}

// odd is a batch of the records that decoders trip over: null and empty keys and values, headers, equal and decreasing timestamps.
func (s *source) odd(codec string) batch {
	b := s.plain(codec, 0, 1)
	t := s.now
	b.Records = []record{
		{Timestamp: t, Key: nil, Value: nil},
		{Timestamp: t, Key: []byte{}, Value: []byte{}},
		{Timestamp: t - 1000, Key: []byte("k"), Value: nil},
		{Timestamp: t + 5, Key: nil, Value: s.text(300)},
		{Timestamp: t + 1, Key: []byte("headers"), Value: []byte{0, 255, 10, 13}, Headers: []header{
			{"a", []byte("1")}, {"a", nil}, {"", []byte{}}, {"unicode-\u017e", s.text(70)},
		}},
	}
	return b
}

// idempotent is a batch of n records of a producer, counting its sequence on.
func (s *source) idempotent(codec string, id int64, epoch int16, sequence *int32, n int) batch {
	b := s.plain(codec, n, 60)
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, *sequence
	*sequence += int32(n)
	return b
}
