package zkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

const (
	dbName    = "gregor-zk.db"
	logPrefix = "gregor-zk.log."

	// checkpointBytes is how much log makes a checkpoint: about a second of reading at a start.
	checkpointBytes = 128 << 20
	// growBytes is how far ahead a log file is allocated, so that a sync need not write a new file length.
	growBytes = 4 << 20

	logMagic     = 0x475a4b4c // "GZKL"
	logVersion   = 1
	logHeader    = 16 // magic, version, first zxid
	recordHeader = 8  // length and CRC-32C of what follows
)

var (
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
	bucketNodes    = []byte("nodes")
	bucketSessions = []byte("sessions")
	bucketMeta     = []byte("meta")
	keyZxid        = []byte("zxid")
)

// store is the files of a server: a checkpoint and the log since.
type store struct {
	db     *bolt.DB
	logDir string
	files  []logFile // in order; the last one is being written once there is a file
	file   *os.File  // nil until the first transaction after a start or a checkpoint
	at     int64     // where the next record goes
	size   int64     // what is allocated
	bytes  int64     // of log since the last checkpoint
}

type logFile struct {
	path  string
	first int64 // zxid
}

// openStore opens or makes the files and rebuilds the tree from them.
func openStore(dir, logDir string) (*store, *tree.Tree, error) {
	for _, d := range []string{dir, logDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, nil, fmt.Errorf("zookeeper data directory: %w", err)
		}
		if foreign, _ := filepath.Glob(filepath.Join(d, "version-2", "*")); len(foreign) > 0 {
			return nil, nil, fmt.Errorf("zookeeper data directory %s holds the files of an Apache ZooKeeper (%s), which the embedded "+
				"server does not read: give it another dataDir, or go on running that ZooKeeper", d, foreign[0])
		}
	}
	path := filepath.Join(dir, dbName)
	db, err := bolt.Open(path, 0o644, &bolt.Options{
		Timeout: 100 * time.Millisecond, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, fmt.Errorf("zookeeper data directory %s is in use by another server (%s is locked)", dir, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("zookeeper store %s: %w", path, err)
	}
	s := &store{db: db, logDir: logDir}
	t, err := s.load()
	if err == nil {
		err = s.replay(t)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, t, nil
}

// load reads the checkpoint.
func (s *store) load() (*tree.Tree, error) {
	var t *tree.Tree
	err := s.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			t = tree.New(true)
			return nil
		}
		r := tree.NewRestorer()
		if err := tx.Bucket(bucketNodes).ForEach(r.Node); err != nil {
			return err
		}
		err := tx.Bucket(bucketSessions).ForEach(func(k, v []byte) error {
			if len(k) != 8 || len(v) != 4+tree.PasswordSize {
				return fmt.Errorf("session %x: bad length", k)
			}
			session := tree.Session{ID: int64(binary.BigEndian.Uint64(k)), TimeoutMs: int32(binary.BigEndian.Uint32(v))}
			copy(session.Password[:], v[4:])
			r.Session(session)
			return nil
		})
		if err != nil {
			return err
		}
		zxid := meta.Get(keyZxid)
		if len(zxid) != 8 {
			return errors.New("no zxid")
		}
		t = r.Finish(int64(binary.BigEndian.Uint64(zxid)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("zookeeper store %s is damaged: %w", s.db.Path(), err)
	}
	return t, nil
}

// replay applies the log after the checkpoint. A file may end in a record that was being written when the process or the
// machine died; the next file then begins where the good records end. A gap is damage.
func (s *store) replay(t *tree.Tree) error {
	names, err := filepath.Glob(filepath.Join(s.logDir, logPrefix+"*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		first, err := strconv.ParseInt(strings.TrimPrefix(filepath.Base(name), logPrefix), 16, 64)
		if err != nil {
			return fmt.Errorf("zookeeper log %s: the name is not one that this server makes; move it away", name)
		}
		s.files = append(s.files, logFile{name, first})
	}
	sort.Slice(s.files, func(i, j int) bool { return s.files[i].first < s.files[j].first })
	for i, f := range s.files {
		if i+1 < len(s.files) && s.files[i+1].first <= t.Zxid()+1 {
			continue // the next file begins before what is missing
		}
		if err := s.replayFile(t, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) replayFile(t *tree.Tree, f logFile) error {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	if len(b) < logHeader || binary.BigEndian.Uint32(b) == 0 {
		return nil // died while it was made
	}
	if binary.BigEndian.Uint32(b) != logMagic || binary.BigEndian.Uint32(b[4:]) != logVersion {
		return fmt.Errorf("zookeeper log %s: not a log of this server's", f.path)
	}
	if f.first > t.Zxid()+1 {
		return fmt.Errorf("zookeeper log %s begins at transaction 0x%x, but what is before it ends at 0x%x: transactions are "+
			"missing; restore the files from a backup", f.path, f.first, t.Zxid())
	}
	var out []byte
	for b = b[logHeader:]; len(b) > recordHeader; {
		n := binary.BigEndian.Uint32(b)
		if n == 0 || int64(n) > int64(len(b)-recordHeader) {
			return nil
		}
		body := b[recordHeader : recordHeader+int(n)]
		if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
			return nil
		}
		b = b[recordHeader+int(n):]
		s.bytes += int64(n) + recordHeader
		x, err := tree.DecodeTxn(body)
		if err != nil {
			return fmt.Errorf("zookeeper log %s: %w", f.path, err)
		}
		if x.Zxid <= t.Zxid() {
			continue
		}
		if x.Zxid != t.Zxid()+1 {
			return fmt.Errorf("zookeeper log %s: transaction 0x%x follows 0x%x", f.path, x.Zxid, t.Zxid())
		}
		out = t.Apply(&x, out[:0]).Body
	}
	return nil
}

// appendRecord adds one transaction to a batch.
func appendRecord(b []byte, x *tree.Txn) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = x.Append(b)
	body := b[at+recordHeader:]
	binary.BigEndian.PutUint32(b[at:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

// write puts a batch, whose first transaction is given, on disk.
func (s *store) write(batch []byte, first int64) error {
	if s.file == nil {
		if err := s.create(first); err != nil {
			return err
		}
	}
	if end := s.at + int64(len(batch)); end > s.size {
		grow := (end - s.size + growBytes - 1) / growBytes * growBytes
		// Where the file system cannot allocate, the file grows as it is written.
		if err := unix.Fallocate(int(s.file.Fd()), 0, s.size, grow); errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("zookeeper log %s: %w", s.file.Name(), err)
		}
		s.size += grow
	}
	if _, err := s.file.WriteAt(batch, s.at); err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	if err := unix.Fdatasync(int(s.file.Fd())); err != nil {
		return fmt.Errorf("zookeeper log %s: sync: %w", s.file.Name(), err)
	}
	s.at += int64(len(batch))
	s.bytes += int64(len(batch))
	return nil
}

func (s *store) create(first int64) error {
	path := filepath.Join(s.logDir, fmt.Sprintf("%s%016x", logPrefix, first))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	h := binary.BigEndian.AppendUint32(nil, logMagic)
	h = binary.BigEndian.AppendUint32(h, logVersion)
	h = binary.BigEndian.AppendUint64(h, uint64(first))
	if _, err := f.WriteAt(h, 0); err != nil {
		return errors.Join(fmt.Errorf("zookeeper log: %w", err), f.Close())
	}
	if err := syncDir(s.logDir); err != nil {
		return errors.Join(err, f.Close())
	}
	if n := len(s.files); n > 0 && s.files[n-1].path == path {
		s.files = s.files[:n-1] // it held no good record
	}
	s.file, s.at, s.size = f, logHeader, logHeader
	s.files = append(s.files, logFile{path, first})
	return nil
}

// rotate makes the next write begin a new file and gives the files until then. Nothing may be being written.
func (s *store) rotate() ([]logFile, error) {
	err := s.closeLog()
	old := s.files
	s.files, s.bytes = nil, 0
	return old, err
}

func (s *store) closeLog() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Truncate(s.at), s.file.Close())
	s.file = nil
	return err
}

// checkpoint puts changes into bbolt and removes the log files that it makes needless.
func (s *store) checkpoint(c tree.Changes, old []logFile) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if err := putNodes(tx, &c); err != nil {
			return err
		}
		if err := putSessions(tx, &c); err != nil {
			return err
		}
		return meta.Put(keyZxid, binary.BigEndian.AppendUint64(nil, uint64(c.Zxid)))
	})
	if err != nil {
		return fmt.Errorf("zookeeper store %s: checkpoint: %w", s.db.Path(), err)
	}
	for _, f := range old {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("zookeeper log: %w", err)
		}
	}
	return nil
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
	key := func(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }
	for _, id := range c.DeletedSessions {
		if err := sessions.Delete(key(id)); err != nil {
			return err
		}
	}
	for _, session := range c.Sessions {
		v := jute.AppendInt32(nil, session.TimeoutMs)
		if err := sessions.Put(key(session.ID), append(v, session.Password[:]...)); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) close() error { return errors.Join(s.closeLog(), s.db.Close()) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("directory %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
