package broker_test

import (
	"bytes"
	"context"
	"path"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/broker"
	"gregor/internal/vfs"
	"gregor/wire/record"
)

// With log.message.format.version the broker's own topics have an old format too: offsets of groups are read back from it, and from a mix
// of formats after the setting changed.
func TestGroupsInOldFormats(t *testing.T) {
	fs := vfs.NewMem()
	committed := map[string]int64{}
	for i, version := range []string{"0.9.0", "0.10.2", "2.7", "0.10.2"} {
		runWith(t, fs, map[string]string{"log.message.format.version": version, "offsets.topic.num.partitions": "1", "offsets.topic.replication.factor": "1"},
			func(ctx context.Context, b *broker.Broker) {
				cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr("PLAINTEXT").String()), kgo.DisableIdempotentWrite(), kgo.DefaultProduceTopic("used"))
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				adm := kadm.NewClient(cl)
				if i == 0 {
					if _, err := adm.CreateTopic(ctx, 1, 1, nil, "used"); err != nil {
						t.Fatal(err)
					}
				}
				if err := cl.ProduceSync(ctx, kgo.StringRecord("value")).FirstErr(); err != nil {
					t.Fatal(err)
				}
				for group, want := range committed {
					got, err := adm.FetchOffsets(ctx, group)
					if err != nil {
						t.Fatal(err)
					}
					if o, ok := got.Lookup("used", 0); !ok || o.At != want {
						t.Errorf("%s: group %s has %+v, want %d", version, group, o, want)
					}
				}
				group := "group-" + version
				committed[group] = int64(i + 1)
				offsets := kadm.Offsets{}
				offsets.AddOffset("used", 0, committed[group], -1)
				if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
					t.Fatal(err)
				}
			})
	}
	seen := map[int8]bool{}
	for _, dir := range []string{"/memory/a", "/memory/b"} {
		entries, err := fs.ReadDir(path.Join(dir, "__consumer_offsets-0"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".log") {
				continue
			}
			f, err := fs.OpenFile(path.Join(dir, "__consumer_offsets-0", e.Name()), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			size, _ := f.Size()
			log := make([]byte, size)
			if _, err := f.ReadAt(log, 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
			for rest := bytes.Clone(log); len(rest) > 0; {
				one, next, err := record.Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				seen[record.Batch(one).Magic()] = true
				rest = next
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("the log has the formats %v, want all", seen)
	}
}
