package zkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"gregor/internal/vfs"
	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

const dbName = "gregor-zk.db"

// checkpoints keeps the state as of some transaction; the log has what follows.
type checkpoints interface {
	// load gives the tree, an empty one if nothing was saved yet.
	load() (*tree.Tree, error)
	// save adds what changed since the last save, durably and entirely or not at all.
	save(c *tree.Changes) error
	close() error
	path() string
}

var errInUse = errors.New("locked by another server")

func openCheckpoints(fsys vfs.FS, dir string) (checkpoints, error) {
	path := filepath.Join(dir, dbName)
	if fsys != vfs.OS {
		return openPlain(fsys, path) // bbolt maps an operating system's file into memory
	}
	db, err := bolt.Open(path, 0o644, &bolt.Options{
		Timeout: 100 * time.Millisecond, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, errInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return boltCheckpoints{db}, nil
}

var (
	bucketNodes    = []byte("nodes")
	bucketSessions = []byte("sessions")
	bucketMeta     = []byte("meta")
	keyZxid        = []byte("zxid")
)

// boltCheckpoints is a bbolt database: a save costs what changed, however large the tree.
type boltCheckpoints struct{ db *bolt.DB }

func (b boltCheckpoints) path() string { return b.db.Path() }
func (b boltCheckpoints) close() error { return b.db.Close() }

func (b boltCheckpoints) load() (t *tree.Tree, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			t = tree.New(true)
			return nil
		}
		r := tree.NewRestorer()
		if err := tx.Bucket(bucketNodes).ForEach(r.Node); err != nil {
			return err
		}
		if err := tx.Bucket(bucketSessions).ForEach(func(k, v []byte) error { return restoreSession(r, k, v) }); err != nil {
			return err
		}
		zxid := meta.Get(keyZxid)
		if len(zxid) != 8 {
			return errors.New("no zxid")
		}
		t = r.Finish(int64(binary.BigEndian.Uint64(zxid)))
		return nil
	})
	return t, err
}

func (b boltCheckpoints) save(c *tree.Changes) error {
	return b.db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if err := putNodes(tx, c); err != nil {
			return err
		}
		if err := putSessions(tx, c); err != nil {
			return err
		}
		return meta.Put(keyZxid, binary.BigEndian.AppendUint64(nil, uint64(c.Zxid)))
	})
}

func putNodes(tx *bolt.Tx, c *tree.Changes) error {
	nodes, err := tx.CreateBucketIfNotExists(bucketNodes)
	if err != nil {
		return err
	}
	for _, p := range c.Deleted {
		if err := nodes.Delete([]byte(p)); err != nil {
			return err
		}
	}
	order := make([]int, len(c.Paths))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return c.Paths[order[i]] < c.Paths[order[j]] })
	for _, i := range order {
		if err := nodes.Put([]byte(c.Paths[i]), c.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

func putSessions(tx *bolt.Tx, c *tree.Changes) error {
	sessions, err := tx.CreateBucketIfNotExists(bucketSessions)
	if err != nil {
		return err
	}
	for _, id := range c.DeletedSessions {
		if err := sessions.Delete(sessionKey(id)); err != nil {
			return err
		}
	}
	for i := range c.Sessions {
		if err := sessions.Put(sessionKey(c.Sessions[i].ID), sessionValue(&c.Sessions[i])); err != nil {
			return err
		}
	}
	return nil
}

func sessionKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func sessionValue(s *tree.Session) []byte {
	return append(jute.AppendInt32(nil, s.TimeoutMs), s.Password[:]...)
}

func restoreSession(r *tree.Restorer, k, v []byte) error {
	if len(k) != 8 || len(v) != 4+tree.PasswordSize {
		return fmt.Errorf("session %x: bad length", k)
	}
	s := tree.Session{ID: int64(binary.BigEndian.Uint64(k)), TimeoutMs: int32(binary.BigEndian.Uint32(v))}
	copy(s.Password[:], v[4:])
	r.Session(s)
	return nil
}

// plainCheckpoints is one file that is written anew with each save, for file systems that are not the operating system's.
type plainCheckpoints struct {
	fs       vfs.FS
	name     string
	lock     io.Closer
	zxid     int64
	nodes    map[string][]byte
	sessions map[string][]byte
}

func openPlain(fsys vfs.FS, name string) (checkpoints, error) {
	lock, err := fsys.Lock(name + ".lock")
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", name, errInUse)
	}
	if err != nil {
		return nil, err
	}
	return &plainCheckpoints{fs: fsys, name: name, lock: lock, nodes: map[string][]byte{}, sessions: map[string][]byte{}}, nil
}

func (p *plainCheckpoints) path() string { return p.name }
func (p *plainCheckpoints) close() error { return p.lock.Close() }

func (p *plainCheckpoints) save(c *tree.Changes) error {
	for _, path := range c.Deleted {
		delete(p.nodes, path)
	}
	for i, path := range c.Paths {
		p.nodes[path] = c.Nodes[i]
	}
	for _, id := range c.DeletedSessions {
		delete(p.sessions, string(sessionKey(id)))
	}
	for i := range c.Sessions {
		p.sessions[string(sessionKey(c.Sessions[i].ID))] = sessionValue(&c.Sessions[i])
	}
	p.zxid = c.Zxid
	return p.write()
}

// write replaces the file: zxid, nodes, sessions, and a CRC-32C of it all.
func (p *plainCheckpoints) write() error {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.zxid))
	for _, m := range []map[string][]byte{p.nodes, p.sessions} {
		b = binary.AppendUvarint(b, uint64(len(m)))
		for k, v := range m {
			b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	f, err := p.fs.OpenFile(p.name+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := p.fs.Rename(p.name+".tmp", p.name); err != nil {
		return err
	}
	return p.fs.SyncDir(filepath.Dir(p.name))
}

var errDamaged = errors.New("it does not hold what was written")

func (p *plainCheckpoints) load() (*tree.Tree, error) {
	b, err := vfs.ReadFile(p.fs, p.name, math.MaxInt64)
	if errors.Is(err, fs.ErrNotExist) {
		return tree.New(true), nil
	}
	if err != nil {
		return nil, err
	}
	n := len(b) - 4
	if n < 8 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errDamaged
	}
	p.zxid, b = int64(binary.BigEndian.Uint64(b)), b[8:n]
	field := func() ([]byte, bool) {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, false
		}
		v := b[n : n+int(size)]
		b = b[n+int(size):]
		return v, true
	}
	for _, m := range []map[string][]byte{p.nodes, p.sessions} {
		count, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errDamaged
		}
		b = b[n:]
		for range count {
			k, ok1 := field()
			v, ok2 := field()
			if !ok1 || !ok2 {
				return nil, errDamaged
			}
			m[string(k)] = v
		}
	}
	r := tree.NewRestorer()
	for _, path := range slices.Sorted(maps.Keys(p.nodes)) {
		if err := r.Node([]byte(path), p.nodes[path]); err != nil {
			return nil, err
		}
	}
	for id, v := range p.sessions {
		if err := restoreSession(r, []byte(id), v); err != nil {
			return nil, err
		}
	}
	return r.Finish(p.zxid), nil
}
