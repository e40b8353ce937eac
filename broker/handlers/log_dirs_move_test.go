package handlers

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
)

// moves answers each move with what its directory is named after.
type moves struct{}

func (moves) AlterLogDirs(list []replication.Move) {
	for i := range list {
		list[i].Err = map[string]error{"/unknown": storage.ErrUnknownDir, "/offline": &storage.DirOfflineError{Dir: "/offline"},
			"/long": storage.ErrNameTooLong, "/not-here": replication.ErrNotLeader, "/nowhere": replication.ErrUnknownPartition}[list[i].Dir]
	}
}

func TestAlterReplicaLogDirs(t *testing.T) {
	a := &Admin{AdminOptions: AdminOptions{Moves: moves{}}}
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	for i, dir := range []string{"/fine", "/unknown", "/offline", "/long", "/not-here", "/nowhere", "/fine"} {
		req.Dirs = append(req.Dirs, kmsg.AlterReplicaLogDirsRequestDir{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{
			{Topic: "t", Partitions: []int32{int32(i % 6)}}, {Topic: "u", Partitions: []int32{0}}}})
	}
	got := ""
	for _, topic := range a.alterReplicaLogDirs(context.Background(), nil, req).(*kmsg.AlterReplicaLogDirsResponse).Topics {
		for _, p := range topic.Partitions {
			got += fmt.Sprintf("%s-%d:%d ", topic.Topic, p.Partition, p.ErrorCode)
		}
	}
	if want := "t-0:0 t-1:57 t-2:56 t-3:17 t-4:9 t-5:3 u-0:0 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Who asks for directories alone hears of one that has little room left; Kafka's own tools and others get what they know.
func TestDirectoriesWithLittleRoomAreTold(t *testing.T) {
	a, f := fakeAdmin(t)
	for _, c := range []struct {
		free    int64
		version int16
		topics  []kmsg.DescribeLogDirsRequestTopic
		told    bool
	}{
		{49, 2, []kmsg.DescribeLogDirsRequestTopic{}, true},
		{50, 2, []kmsg.DescribeLogDirsRequestTopic{}, false},
		{0, 1, []kmsg.DescribeLogDirsRequestTopic{}, false},
		{0, 2, nil, false},
		{0, 2, []kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: []int32{0}}}, false},
	} {
		f.free = c.free
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version, req.Topics = c.version, c.topics
		resp := a.describeLogDirs(context.Background(), nil, req).(*kmsg.DescribeLogDirsResponse)
		resp.SetVersion(c.version)
		over := kmsg.NewPtrDescribeLogDirsResponse()
		over.SetVersion(c.version)
		if err := over.ReadFrom(resp.AppendTo(nil)); err != nil || len(over.Dirs) != 1 {
			t.Fatal(err, over)
		}
		free, total, ok := wire.Space(&over.Dirs[0])
		if ok != c.told || ok && (free != c.free || total != 1000) {
			t.Errorf("%+v: %d of %d bytes, told %t", c, free, total, ok)
		}
	}
}
