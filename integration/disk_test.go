package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"gregor/integration/peer"
	"gregor/wire/record"
)

// fragile mounts an ext4 file system and gives a function that makes an error of it, upon which the kernel makes it read-only.
func fragile(t *testing.T) (dir string, breakIt func()) {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop,errors=remount-ro", image, dir}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("mounting a loop device needs root: %v: %v %s", argv, err, out)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	out, err := exec.Command("losetup", "-j", image).Output()
	if err != nil {
		t.Skip("losetup:", err)
	}
	device, _, _ := strings.Cut(string(out), ":")
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skip("no way to make the file system fail:", err)
	}
	return dir, func() {
		if err := os.WriteFile(trigger, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func describeLogDirs(t *testing.T, ctx context.Context, c *peer.Conn) map[string]kmsg.DescribeLogDirsResponseDir {
	t.Helper()
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 1
	out := map[string]kmsg.DescribeLogDirsResponseDir{}
	for _, d := range ask[*kmsg.DescribeLogDirsResponse](t, ctx, c, req).Dirs {
		out[d.Dir] = d
	}
	return out
}

// TestLogDirectoryLost: of two log directories one is lost. Its partitions are offline until the broker is restarted, the others are
// served, and whoever asks is told.
func TestLogDirectoryLost(t *testing.T) {
	t.Run("replaced", func(t *testing.T) {
		ctx := trouble(t, 3*time.Minute)
		dir := filepath.Join(t.TempDir(), "first")
		loseDirectory(t, ctx, dir, func() {
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}, func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+".away", dir); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("read-only", func(t *testing.T) {
		ctx := trouble(t, 3*time.Minute)
		mount, breakIt := fragile(t)
		loseDirectory(t, ctx, filepath.Join(mount, "first"), breakIt, nil)
	})
}

func loseDirectory(t *testing.T, ctx context.Context, first string, lose, giveBack func()) {
	t.Helper()
	second := t.TempDir()
	b := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Config: map[string]string{"log.dirs": first + "," + second}})
	createTopic(t, ctx, b, "t", 2, nil) // one partition in each
	conn := dialBroker(t, ctx, b)
	put := func(p int32) int16 {
		return ask[*kmsg.ProduceResponse](t, ctx, conn, produceTo("t", p, 8, -1, batch(t, record.NewBuilder(), []byte("v")))).Topics[0].Partitions[0].ErrorCode
	}
	for p := range int32(2) {
		if code := put(p); code != 0 {
			t.Fatal(kafkaError(code))
		}
	}
	dirs := describeLogDirs(t, ctx, conn)
	for path, d := range dirs {
		if d.ErrorCode != 0 || len(d.Topics) != 1 || len(d.Topics[0].Partitions) != 1 || d.Topics[0].Partitions[0].OffsetLag != 0 || d.Topics[0].Partitions[0].Size == 0 {
			t.Fatalf("%s: %+v", path, d)
		}
	}
	lost := dirs[first].Topics[0].Partitions[0].Partition
	kept := 1 - lost
	log := logFrom(b)
	lose()
	storageError := kerr.KafkaStorageError.Code
	eventually(t, ctx, 20*time.Second, "the loss is noticed", func() error {
		if code := put(lost); code != storageError {
			return errors.New(kafkaError(code))
		}
		return nil
	})
	t.Log(log.wait(t, ctx, "ERROR", first))
	if code := put(kept); code != 0 {
		t.Errorf("the other directory: %v", kafkaError(code))
	}
	dirs = describeLogDirs(t, ctx, conn)
	if d := dirs[first]; d.ErrorCode != storageError || len(d.Topics) != 0 {
		t.Errorf("the lost directory is described as %+v", d)
	}
	if d := dirs[second]; d.ErrorCode != 0 || len(d.Topics) != 1 {
		t.Errorf("the other directory is described as %+v", d)
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("t")
	meta.Topics = append(meta.Topics, topic)
	eventually(t, ctx, 20*time.Second, "the controller takes the replica for offline", func() error {
		for _, p := range ask[*kmsg.MetadataResponse](t, ctx, conn, meta).Topics[0].Partitions {
			if gone := p.ErrorCode == kerr.LeaderNotAvailable.Code && p.Leader == -1 && len(p.OfflineReplicas) == 1; gone != (p.Partition == lost) {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	createTopic(t, ctx, b, "new", 2, nil)
	if giveBack == nil {
		return
	}
	if err := b.Stop(ctx); err != nil {
		t.Log(err)
	}
	giveBack()
	b = restart(t, ctx, b)
	conn = dialBroker(t, ctx, b)
	eventually(t, ctx, 20*time.Second, "the partition is back", func() error {
		if code := fetchCode(t, ctx, conn, "t", lost, 0); code != 0 {
			return errors.New(kafkaError(code))
		}
		return nil
	})
}

// TestFloorOfFreeSpace: below the floor records are refused and clients wait; nothing else suffers, and space that is made is used.
func TestFloorOfFreeSpace(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	disk := tmpfs(t, "32m")
	b := startBroker(t, ctx, peer.Options{Kind: peer.Gregor, Config: map[string]string{
		"log.dirs": disk, "gregor.log.dir.min.free.bytes": "8388608", "log.segment.delete.delay.ms": "100",
	}})
	createTopic(t, ctx, b, "old", 1, nil)
	createTopic(t, ctx, b, "t", 1, nil)
	log := logFrom(b)
	conn := dialBroker(t, ctx, b)
	value := bytes.Repeat([]byte("v"), 500_000)
	code := int16(0)
	for range 100 {
		if code, _ = produceCode(t, ctx, conn, "old", batch(t, record.NewBuilder(), value)); code != 0 {
			break
		}
	}
	if code != kerr.NotEnoughReplicas.Code {
		t.Fatal(kafkaError(code))
	}
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < 7<<20 || free > 9<<20 {
		t.Errorf("refused with %d bytes free", free)
	}
	if code := fetchCode(t, ctx, conn, "old", 0, 0); code != 0 {
		t.Errorf("fetch: %v", kafkaError(code))
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic("t"), kgo.RecordRetries(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	written := make(chan error, 1)
	cl.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { written <- err })
	select {
	case err := <-written:
		t.Fatalf("a record was answered although there is no space: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TopicNames, del.TimeoutMillis = 1, []string{"old"}, 10_000
	if resp := ask[*kmsg.DeleteTopicsResponse](t, ctx, conn, del); resp.Topics[0].ErrorCode != 0 {
		t.Fatal(kafkaError(resp.Topics[0].ErrorCode))
	}
	if err := <-written; err != nil {
		t.Errorf("the waiting client: %v", err)
	}
	t.Log(log.wait(t, ctx, "WARN", "bytes free"))
	t.Log(log.wait(t, ctx, "INFO", "bytes free again"))
	if n := len(log.lines("bytes free")); n != 2 {
		t.Errorf("%d lines", n)
	}
	stop(t, b)
}

// TestFullDiskKeepsCheckpoints: others fill the disk to the last byte; the checkpoints and a clean stop survive it.
func TestFullDiskKeepsCheckpoints(t *testing.T) {
	ctx := trouble(t, 3*time.Minute)
	disk := tmpfs(t, "16m")
	b := troubled(t, ctx, peer.Options{Config: map[string]string{"log.dirs": disk, "replica.high.watermark.checkpoint.interval.ms": "500"}})
	conn := dialBroker(t, ctx, b)
	for range 10 {
		if code, _ := produceCode(t, ctx, conn, "t", batch(t, record.NewBuilder(), []byte("v"))); code != 0 {
			t.Fatal(kafkaError(code))
		}
	}
	eventually(t, ctx, 10*time.Second, "space is held back", func() error {
		_, err := os.Stat(filepath.Join(disk, ".gregor.reserve"))
		return err
	})
	f, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	del := kmsg.NewPtrDeleteRecordsRequest() // moves a checkpointed offset without needing space in the log
	dt := kmsg.NewDeleteRecordsRequestTopic()
	dp := kmsg.NewDeleteRecordsRequestTopicPartition()
	dp.Offset = 5
	dt.Topic, dt.Partitions = "t", append(dt.Partitions, dp)
	del.TimeoutMillis, del.Topics = 10_000, append(del.Topics, dt)
	if p := ask[*kmsg.DeleteRecordsResponse](t, ctx, conn, del).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LowWatermark != 5 {
		t.Fatalf("%+v", p)
	}
	stop(t, b)
	for _, name := range []string{".kafka_cleanshutdown", "log-start-offset-checkpoint", "recovery-point-offset-checkpoint", "replication-offset-checkpoint"} {
		if _, err := os.Stat(filepath.Join(disk, name)); err != nil {
			t.Error(err)
		}
	}
	b = restart(t, ctx, b)
	conn = dialBroker(t, ctx, b)
	if code := fetchCode(t, ctx, conn, "t", 0, 4); code != kerr.OffsetOutOfRange.Code {
		t.Errorf("deleted records are back: %v", kafkaError(code))
	}
	if code := fetchCode(t, ctx, conn, "t", 0, 5); code != 0 {
		t.Error(kafkaError(code))
	}
}
