package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/internal/golden"
)

// recorder records one case.
type recorder struct {
	plan
	zk, tmp, out string

	broker   *peer.Broker
	conn     *peer.Conn
	encoded  map[*batch][]byte
	requests []byte // Produce requests with their size prefixes
	bytes    int64  // recorded in all
	inited   bool   // the transactional producer has its id
}

func (r *recorder) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	steps := r.steps(newSource(1))
	if err := r.encode(ctx, steps); err != nil {
		return err
	}
	config := map[string]string{"log.retention.ms": "-1", "num.network.threads": "1", "num.io.threads": "2"}
	for k, v := range r.Broker {
		config[k] = v
	}
	b, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Kafka, Dir: r.tmp, ZooKeeper: r.zk + "/" + r.Name, Config: config, Heap: "256m"})
	if err != nil {
		return err
	}
	r.broker = b
	defer func() { r.broker.Close() }()
	if r.conn, err = peer.Dial(ctx, b.Addr); err != nil {
		return err
	}
	if err := r.createTopic(ctx); err != nil {
		return err
	}
	for i, s := range steps {
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	r.conn.Close()
	return r.finish(ctx)
}

// finish stops the broker and keeps its files.
func (r *recorder) finish(ctx context.Context) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	logDir := r.broker.LogDir()
	if !r.Unclean {
		if err := r.broker.Stop(ctx); err != nil {
			return err
		}
		if err := r.fillEpochs(logDir); err != nil {
			return err
		}
		if err := r.copyTree(logDir, filepath.Join(r.out, "log")); err != nil {
			return err
		}
		return r.save()
	}
	r.broker.Kill()
	if err := r.fillEpochs(logDir); err != nil {
		return err
	}
	if r.mangle != nil {
		if err := r.mangle(logDir); err != nil {
			return err
		}
	}
	if err := r.archive(logDir, filepath.Join(r.out, "log.tar.gz")); err != nil {
		return err
	}
	b, err := r.broker.Restart(ctx)
	if err != nil {
		return err
	}
	r.broker = b
	if err := b.Stop(ctx); err != nil {
		return err
	}
	if err := r.copyTree(logDir, filepath.Join(r.out, "recovered")); err != nil {
		return err
	}
	return r.save()
}

func (r *recorder) save() error {
	if r.Compare == golden.Read {
		r.Steps, r.requests = nil, nil
	}
	if len(r.requests) > 0 {
		if err := os.WriteFile(filepath.Join(r.out, "requests.bin"), r.requests, 0o644); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(r.Case, "", " ")
	if err != nil {
		return err
	}
	r.bytes += int64(len(b) + len(r.requests))
	return os.WriteFile(filepath.Join(r.out, "case.json"), append(b, '\n'), 0o644)
}

// encode fills r.encoded for the batches of all steps in one run of Java.
func (r *recorder) encode(ctx context.Context, steps []step) error {
	var (
		keys    []*batch
		batches []batch
	)
	add := func(parts []part) {
		for i := range parts {
			keys = append(keys, &parts[i].batch)
			batches = append(batches, parts[i].batch)
		}
	}
	for _, s := range steps {
		add(s.produce)
		if s.transaction != nil {
			add(s.transaction.parts)
		}
	}
	encoded, err := encode(ctx, batches)
	if err != nil {
		return err
	}
	r.encoded = make(map[*batch][]byte, len(keys))
	for i, k := range keys {
		r.encoded[k] = encoded[i]
	}
	return nil
}

func (r *recorder) createTopic(ctx context.Context) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 4
	req.TimeoutMillis = 30000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = r.Topic, r.Partitions, 1
	for k, v := range r.Config {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	req.Topics = append(req.Topics, t)
	resp, err := r.conn.Request(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("creating %s: %w", t.Topic, err)
		}
	}
	return nil
}

func (r *recorder) step(ctx context.Context, s step) error {
	switch {
	case s.restart:
		r.Steps = append(r.Steps, golden.Step{Restart: true})
		return r.restart(ctx)
	case s.deleteRecords != nil:
		d, err := r.deleteRecords(ctx, *s.deleteRecords)
		r.Steps = append(r.Steps, golden.Step{DeleteRecords: &d})
		return err
	case s.transaction != nil:
		return r.transaction(ctx, *s.transaction)
	case s.offsets != nil:
		return r.offsets(ctx, *s.offsets)
	default:
		appends, err := r.produce(ctx, nil, s.produce)
		r.Steps = append(r.Steps, golden.Step{Produce: appends})
		return err
	}
}

func (r *recorder) restart(ctx context.Context) error {
	r.conn.Close()
	if err := r.broker.Stop(ctx); err != nil {
		return err
	}
	b, err := r.broker.Restart(ctx)
	if err != nil {
		return err
	}
	r.broker = b
	r.conn, err = peer.Dial(ctx, b.Addr)
	return err
}

// produce sends one request, keeps it, and returns its answer. A partition whose leader is still being made is tried again.
func (r *recorder) produce(ctx context.Context, txn *string, parts []part) ([]golden.Append, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = 8, -1, 30000, txn
	t := kmsg.NewProduceRequestTopic()
	t.Topic = r.Topic
	for i := range parts {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = parts[i].partition, r.encoded[&parts[i].batch]
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	frame := r.conn.Frame(req)
	for {
		body, err := r.conn.RoundTrip(ctx, frame)
		if err != nil {
			return nil, err
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = req.Version
		if err := resp.ReadFrom(body); err != nil {
			return nil, err
		}
		appends := map[int32]golden.Append{}
		retry := false
		for _, p := range resp.Topics[0].Partitions {
			err := kerr.TypedErrorForCode(p.ErrorCode)
			retry = retry || err == kerr.UnknownTopicOrPartition || err == kerr.NotLeaderForPartition
			appends[p.Partition] = golden.Append{
				Partition: p.Partition, ErrorCode: p.ErrorCode, BaseOffset: p.BaseOffset, LogAppendTime: p.LogAppendTime,
				LogStartOffset: p.LogStartOffset,
			}
		}
		if retry {
			if len(parts) > 1 {
				return nil, errors.New("a partition is not there yet") // some may have been appended
			}
			continue
		}
		r.requests = append(r.requests, frame...)
		var list []golden.Append
		for i := range parts {
			list = append(list, appends[parts[i].partition])
		}
		return list, nil
	}
}

func (r *recorder) deleteRecords(ctx context.Context, d golden.DeleteRecords) (golden.DeleteRecords, error) {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = 1, 30000
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = r.Topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = d.Partition, d.Offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := r.conn.Request(ctx, req)
	if err != nil {
		return d, err
	}
	answer := resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	d.LogStartOffset = answer.LowWatermark
	return d, kerr.ErrorForCode(answer.ErrorCode)
}

// fillEpochs sets each append's leader epoch from the batch in the log. (Records below a log start offset are still in its files.)
func (r *recorder) fillEpochs(logDir string) error {
	epochs := map[int32]map[int64]int32{}
	for p := range r.Partitions {
		epochs[p] = map[int64]int32{}
		logs, err := filepath.Glob(filepath.Join(logDir, fmt.Sprintf("%s-%d", r.Topic, p), "*.log"))
		if err != nil {
			return err
		}
		for _, name := range logs {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for len(b) >= 17 {
				n := 12 + int(binary.BigEndian.Uint32(b[8:]))
				if b[16] == 2 {
					epochs[p][int64(binary.BigEndian.Uint64(b))] = int32(binary.BigEndian.Uint32(b[12:]))
				}
				b = b[min(n, len(b)):]
			}
		}
	}
	last := map[int32]int32{}
	for i, s := range r.Steps {
		for j, a := range s.Produce {
			e, ok := epochs[a.Partition][a.BaseOffset]
			if !ok {
				e = last[a.Partition]
			}
			r.Steps[i].Produce[j].LeaderEpoch = e
			last[a.Partition] = max(e, last[a.Partition])
		}
	}
	return nil
}

// copyTree copies a log directory without its lock.
func (r *recorder) copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == ".lock" {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r.bytes += int64(len(b))
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
}

// archive is copyTree into a compressed archive: preallocated indexes are 10 MB of zeros.
func (r *recorder) archive(from, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		return err
	}
	fi, err := os.Stat(to)
	if err == nil {
		r.bytes += fi.Size()
	}
	return err
}
