package handlers

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/broker/metadata"
	"gregor/broker/server"
	"gregor/internal/logging"
	"gregor/replication"
	"gregor/storage"
	"gregor/zkmeta"
)

// TopicStore is what the admin requests need of ZooKeeper; *zkmeta.Client has it.
type TopicStore interface {
	Topics(ctx context.Context) ([]string, error)
	TopicExists(ctx context.Context, name string) (bool, error)
	Topic(ctx context.Context, name string) (zkmeta.TopicInfo, error)
	TopicMarkedForDeletion(ctx context.Context, name string) (bool, error)
	CreateTopic(ctx context.Context, name string, assignment map[int32][]int32, config map[string]string) error
	DeleteTopic(ctx context.Context, name string) error
	AddPartitions(ctx context.Context, name string, full map[int32][]int32) error
	TopicConfig(ctx context.Context, topic string) (map[string]string, error)
	SetTopicConfig(ctx context.Context, topic string, config map[string]string) error
	EntityConfig(ctx context.Context, entityType, name string) (map[string]string, error)
	SetEntityConfig(ctx context.Context, entityType, name string, config map[string]string) error
}

// LogDirs is what DescribeLogDirs needs of the log manager; *storage.Manager has it.
type LogDirs interface {
	Dirs() []storage.DirStatus
	DirLogSizes(dir string) ([]storage.LogSize, error)
	DirSpace(dir string) (free, total int64, err error)
}

// AdminOptions are the parts of a broker that serve metadata and administration.
type AdminOptions struct {
	// Config is called for each request: what it returns is swapped when dynamic settings change.
	Config   func() *config.Broker
	Metadata *metadata.Cache
	ZK       TopicStore
	// IsController tells whether this broker is the active controller; only that one creates and deletes.
	IsController func() bool
	Dirs         LogDirs
	// Hosted gives log end and high watermark of a partition that this broker has a role in.
	Hosted func(storage.TopicPartition) (end, hw int64, ok bool)
	// Moves moves replicas between log directories; *replication.Manager does.
	Moves interface{ AlterLogDirs([]replication.Move) }
	// Levels are the process's loggers; nil when their levels are not to be changed.
	Levels *logging.Levels
	Log    logrus.FieldLogger
}

// Admin serves Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and
// DescribeLogDirs.
type Admin struct {
	AdminOptions
}

// NewAdmin makes the handlers of the admin requests.
func NewAdmin(o AdminOptions) *Admin { return &Admin{o} }

// APIs is the rows of the table of request types that Admin serves.
func (a *Admin) APIs() []server.API {
	return []server.API{
		{Key: kmsg.Metadata, MaxVersion: 9, Handle: handle(a.metadata)},
		{Key: kmsg.CreateTopics, MaxVersion: 6, Handle: handle(a.createTopics)},
		{Key: kmsg.DeleteTopics, MaxVersion: 5, Handle: handle(a.deleteTopics)},
		{Key: kmsg.CreatePartitions, MaxVersion: 3, Handle: handle(a.createPartitions)},
		{Key: kmsg.DescribeConfigs, MaxVersion: 3, Handle: handle(a.describeConfigs)},
		{Key: kmsg.AlterConfigs, MaxVersion: 1, Handle: handle(a.alterConfigs)},
		{Key: kmsg.IncrementalAlterConfigs, MaxVersion: 1, Handle: handle(a.incrementalAlterConfigs)},
		{Key: kmsg.AlterReplicaLogDirs, MaxVersion: 1, Handle: handle(a.alterReplicaLogDirs)},
		{Key: kmsg.DescribeLogDirs, MaxVersion: 2, Handle: handle(a.describeLogDirs)},
	}
}

// handle adapts a handler of one request type to the table. These requests are always answerable, so there is no error.
func handle[R kmsg.Request](f func(context.Context, *server.Request, R) kmsg.Response) func(context.Context, *server.Request, kmsg.Request) (kmsg.Response, error) {
	return func(ctx context.Context, r *server.Request, msg kmsg.Request) (kmsg.Response, error) {
		resp := f(ctx, r, msg.(R))
		resp.SetVersion(r.Version)
		return resp, nil
	}
}

// fault is an error as it goes to a client: a code, and a message only where Kafka has one beyond the code's own.
type fault struct {
	code    int16
	message string
}

func failure(e *kerr.Error, message string) *fault { return &fault{e.Code, message} }

func (f *fault) get() (code int16, message *string) {
	switch {
	case f == nil:
		return 0, nil
	case f.message == "":
		return f.code, nil
	}
	text := f.message
	if len(text) > maxMessage { // it quotes a name that is as long as names can be
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	return f.code, &text
}

// maxMessage is what answers with 16 bits for a length have room for.
const maxMessage = math.MaxInt16

// unexpected is an error that no client caused: ZooKeeper lost, mostly. Kafka leaks UNKNOWN_SERVER_ERROR to clients, which gives up at
// once; while the broker stops or ZooKeeper is away the request may as well be tried again later.
func (a *Admin) unexpected(what, on string, err error) *fault {
	a.Log.WithError(err).Errorf("%s %s failed", what, on)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return failure(kerr.RequestTimedOut, "")
	}
	return failure(kerr.UnknownServerError, "")
}

// await blocks until the metadata are as wanted, the time is up, or the broker stops; it returns whether they are.
func (a *Admin) await(ctx context.Context, timeoutMillis int32, wanted func() bool) bool {
	timer := time.NewTimer(time.Duration(timeoutMillis) * time.Millisecond)
	defer timer.Stop()
	for {
		changed := a.Metadata.Changed()
		if wanted() {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return wanted()
		case <-ctx.Done():
			return false
		}
	}
}
