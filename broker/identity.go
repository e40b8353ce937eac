package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gregor/internal/vfs"
	"gregor/storage"
)

// identify settles the broker's id and its cluster's, as KafkaServer does: meta.properties and server.properties must agree, and the
// directories must belong to this cluster. What is settled is written to every directory.
func identify(ctx context.Context, configured int32, generate bool, reservedMax int32, clusterID string,
	store *storage.Manager, next func(context.Context, int32) (int32, error)) (int32, error) {
	md := store.BrokerMetadata()
	if md.ClusterID != "" && md.ClusterID != clusterID {
		return 0, fmt.Errorf("the cluster id %s doesn't match the stored cluster id Some(%s) in meta.properties: the broker is trying to join the wrong "+
			"cluster; zookeeper.connect or log.dirs may be wrong", clusterID, md.ClusterID)
	}
	id := configured
	switch {
	case id >= 0 && md.BrokerID >= 0 && id != md.BrokerID:
		return 0, fmt.Errorf("configured broker.id %d doesn't match stored broker.id %d in meta.properties: if you moved your data, make sure "+
			"your configured broker.id matches; if you intend to create a new broker, remove the data in log.dirs", id, md.BrokerID)
	case id < 0 && md.BrokerID >= 0:
		id = md.BrokerID
	case id < 0 && generate:
		var err error
		if id, err = next(ctx, reservedMax); err != nil {
			return 0, fmt.Errorf("generate a broker id: %w", err)
		}
	case id < 0:
		return 0, errors.New("broker.id is not set, meta.properties has none, and broker.id.generation.enable is false: set broker.id")
	}
	want := storage.BrokerMetadata{BrokerID: id, ClusterID: clusterID}
	if err := store.WriteBrokerMetadata(want); err != nil {
		return 0, err
	}
	return id, nil
}

// sessionFile keeps the ZooKeeper session of the running broker beside its directory locks, so that the next process can tell a
// leftover of this one from another broker's registration.
type sessionFile struct {
	fs   vfs.FS
	name string
}

const sessionFileName = ".gregor.session"

func (f sessionFile) read() int64 {
	b, err := vfs.ReadFile(f.fs, f.name, 64)
	if err != nil {
		return 0
	}
	id, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// write is not synced: after a power cut the session is simply waited for.
func (f sessionFile) write(id int64) error {
	file, err := f.fs.OpenFile(f.name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt([]byte(strconv.FormatInt(id, 10)+"\n"), 0)
	return err
}

func (f sessionFile) remove() error {
	if err := f.fs.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func sessionFileIn(fsys vfs.FS, dir string) sessionFile {
	return sessionFile{fsys, filepath.Join(dir, sessionFileName)}
}
