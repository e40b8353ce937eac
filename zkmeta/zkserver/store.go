package zkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"gregor/internal/vfs"
	"gregor/zkmeta/zkserver/tree"
)

const (
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

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// store is the files of a server: a checkpoint and the log since.
type store struct {
	fs     vfs.FS
	saved  checkpoints
	logDir string
	files  []logFile // in order; the last one is being written once there is a file
	file   vfs.File  // nil until the first transaction after a start or a checkpoint
	at     int64     // where the next record goes
	size   int64     // what is allocated
	bytes  int64     // of log since the last checkpoint
}

type logFile struct {
	path  string
	first int64 // zxid
}

// openStore opens or makes the files and rebuilds the tree from them.
func openStore(fsys vfs.FS, dir, logDir string) (*store, *tree.Tree, error) {
	for _, d := range []string{dir, logDir} {
		if err := vfs.MakeDirs(fsys, d); err != nil {
			return nil, nil, fmt.Errorf("zookeeper data directory: %w", err)
		}
		if foreign, err := fsys.ReadDir(filepath.Join(d, "version-2")); err == nil && len(foreign) > 0 {
			return nil, nil, fmt.Errorf("zookeeper data directory %s holds the files of an Apache ZooKeeper (version-2/%s), which the embedded "+
				"server does not read: give it another dataDir, or go on running that ZooKeeper", d, foreign[0].Name())
		}
	}
	saved, err := openCheckpoints(fsys, dir)
	if errors.Is(err, errInUse) {
		return nil, nil, fmt.Errorf("zookeeper data directory %s is in use by another server: %w", dir, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("zookeeper store: %w", err)
	}
	s := &store{fs: fsys, saved: saved, logDir: logDir}
	t, err := saved.load()
	if err != nil {
		err = fmt.Errorf("zookeeper store %s is damaged: %w", saved.path(), err)
	} else {
		err = s.replay(t)
	}
	if err != nil {
		return nil, nil, errors.Join(err, saved.close())
	}
	return s, t, nil
}

// replay applies the log after the checkpoint. A file may end in a record that was being written when the process or the
// machine died; the next file then begins where the good records end. A gap is damage.
func (s *store) replay(t *tree.Tree) error {
	entries, err := s.fs.ReadDir(s.logDir)
	if err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	for _, e := range entries {
		hex, ok := strings.CutPrefix(e.Name(), logPrefix)
		if !ok {
			continue
		}
		name := filepath.Join(s.logDir, e.Name())
		first, err := strconv.ParseInt(hex, 16, 64)
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
	b, err := vfs.ReadFile(s.fs, f.path, math.MaxInt64)
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
		if err := vfs.Allocate(s.file, s.size, grow); err != nil {
			return fmt.Errorf("zookeeper log: %w", err)
		}
		s.size += grow
	}
	if _, err := s.file.WriteAt(batch, s.at); err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	s.at += int64(len(batch))
	s.bytes += int64(len(batch))
	return nil
}

func (s *store) create(first int64) error {
	path := filepath.Join(s.logDir, fmt.Sprintf("%s%016x", logPrefix, first))
	f, err := s.fs.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("zookeeper log: %w", err)
	}
	h := binary.BigEndian.AppendUint32(nil, logMagic)
	h = binary.BigEndian.AppendUint32(h, logVersion)
	h = binary.BigEndian.AppendUint64(h, uint64(first))
	if _, err := f.WriteAt(h, 0); err != nil {
		return errors.Join(fmt.Errorf("zookeeper log: %w", err), f.Close())
	}
	if err := s.fs.SyncDir(s.logDir); err != nil {
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

// checkpoint saves changes and removes the log files that it makes needless.
func (s *store) checkpoint(c tree.Changes, old []logFile) error {
	if err := s.saved.save(&c); err != nil {
		return fmt.Errorf("zookeeper store %s: checkpoint: %w", s.saved.path(), err)
	}
	for _, f := range old {
		if err := s.fs.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("zookeeper log: %w", err)
		}
	}
	return nil
}

func (s *store) close() error { return errors.Join(s.closeLog(), s.saved.close()) }
