package main

import (
	"context"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/integration/peer"
	"gregor/internal/golden"
)

// old tells whether a broker of old is recorded.
func (r *recorder) old() bool { return r.kind == peer.Kafka08 || r.kind == peer.Kafka010 }

// oldConfig gives a broker the topic's settings: the old ones make topics when somebody asks for them.
func (r *recorder) oldConfig() map[string]string {
	config := map[string]string{"auto.create.topics.enable": "true"}
	if r.kind == peer.Kafka08 {
		config["log.retention.ms"] = "2147483647" // the most it takes; it goes by when files were written
	}
	for k, v := range r.Config {
		if k != "message.format.version" || r.kind != peer.Kafka08 {
			config["log."+k] = v
		}
	}
	return config
}

// createOld asks for the topic until it is there.
func (r *recorder) createOld(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &r.Topic
	req.Topics = append(req.Topics, t)
	return r.retry(ctx, func() error {
		resp, err := r.conn.Request(ctx, req)
		if err != nil {
			return err
		}
		if resp.(*kmsg.MetadataResponse).Topics[0].ErrorCode != 0 {
			return kerr.LeaderNotAvailable // 0.8 says that it does not know why
		}
		return nil
	})
}

// produceVersion is the newest version that takes the parts.
func (r *recorder) produceVersion(parts []part) int16 {
	if r.kind == peer.Kafka08 {
		return 0
	}
	for _, p := range parts {
		if p.batch.Magic < 2 {
			return 2
		}
	}
	return 8
}

// finishOld keeps what the broker wrote, and what Apache Kafka 2.7.2 makes of it.
func (r *recorder) finishOld(ctx context.Context, logDir string) error {
	if err := r.broker.Stop(ctx); err != nil {
		return err
	}
	if err := r.copyTree(logDir, filepath.Join(r.out, "log")); err != nil {
		return err
	}
	config := r.oldConfig()
	config["log.message.format.version"] = r.Config["message.format.version"]
	config["log.retention.ms"] = "-1"
	b, err := peer.StartBroker(ctx, peer.Options{Kind: peer.Kafka, Dir: r.tmp, ZooKeeper: r.zk + "/" + r.Name, Config: config, Heap: "256m"})
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
	r.Compare = golden.Read
	return r.save()
}
