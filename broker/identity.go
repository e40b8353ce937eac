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
// leftover of this one from another broker's registration; and when the machine was started, so that it can tell the death of a process,
// after which everything written is there, from a loss of power. A clean stop removes it.
type sessionFile struct {
	fs   vfs.FS
	name string
}

// formerLife is what it says: the session, 0 if there is none; the machine's start, "" if it is not known; and whether the ends of logs were lost
// since the last clean stop.
type formerLife struct {
	session int64
	boot    string
	lost    bool
}

const (
	sessionFileName = ".gregor.session"
	lostWord        = "power-lost"
)

func (f sessionFile) read() (was formerLife) {
	b, err := vfs.ReadFile(f.fs, f.name, 256)
	if err != nil {
		return formerLife{}
	}
	lines := append(strings.Split(string(b), "\n"), "", "", "")
	if was.session, err = strconv.ParseInt(strings.TrimSpace(lines[0]), 10, 64); err != nil {
		return formerLife{}
	}
	was.boot, was.lost = lines[1], lines[2] == lostWord
	return was
}

// write is not synced: after a power cut the session is simply waited for. That power was lost is synced before it is acted upon.
func (f sessionFile) write(now formerLife, sync bool) error {
	file, err := f.fs.OpenFile(f.name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	text := strconv.FormatInt(now.session, 10) + "\n" + now.boot + "\n"
	if now.lost {
		text += lostWord + "\n"
	}
	_, err = file.WriteAt([]byte(text), 0)
	if err == nil && sync {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil || !sync {
		return err
	}
	return f.fs.SyncDir(filepath.Dir(f.name))
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

// bootID is different after each start of the machine; "" where the system does not tell.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// lookBack finds out whether what the former process wrote last may be gone. A start that fails closes the logs cleanly, so it is noted.
func (b *Broker) lookBack() error {
	was := b.session.read()
	b.lost = was.lost || b.store.Unclean() && was.boot != bootID()
	if !b.lost || was.lost {
		return nil
	}
	b.log.Warn("The logs were not closed before this machine was started again: what was written last may be lost. Controllers of this kind are told so, and prefer other replicas in sync")
	was.lost = true
	if err := b.session.write(was, true); err != nil {
		return fmt.Errorf("write %s: %w", b.session.name, err)
	}
	return nil
}
