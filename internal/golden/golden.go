// Package golden reads the directories under storage/testdata/golden: what Apache Kafka 2.7.2 wrote, and the very requests that made
// it write so. Tests feed the requests to Gregor's log and compare the files.
//
// Owns: nothing. Guarded by: a Case is immutable once loaded. Holds always: requests come in the order in which they were answered.
// Imports: the standard library and kmsg. Kafka's counterpart: none; integration/golden records the directories.
package golden

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// How a test may compare what it wrote from a case's steps with the case's files.
const (
	// Bytes: .log, .index, .timeindex, leader-epoch-checkpoint and the offset checkpoints are byte for byte the same; snapshots are
	// the same when decoded.
	Bytes = "bytes"
	// Decoded: the broker compressed batches itself, and compressors differ: headers and decoded records are the same.
	Decoded = "decoded"
	// Read: there are no steps to repeat (transactions, old message formats); the files are there to be read.
	Read = "read"
)

// Case is one recorded directory.
type Case struct {
	Name    string `json:"name"`
	About   string `json:"about"`
	Compare string `json:"compare"`
	// Topic has Partitions partitions and was created with Config.
	Topic      string            `json:"topic"`
	Partitions int32             `json:"partitions"`
	Config     map[string]string `json:"config,omitempty"`
	// Broker is what the broker's configuration had besides its defaults.
	Broker map[string]string `json:"broker,omitempty"`
	// From is the version of Apache Kafka that wrote the files, "" for 2.7.2. RecoveredFiles are then what 2.7.2 made of them: it had
	// started on them, written nothing, and stopped cleanly.
	From string `json:"from,omitempty"`
	// Unclean: the broker was killed after the last step. Files are as the kill left them; RecoveredFiles as Apache Kafka left them
	// after it had started on them, written nothing, and stopped cleanly.
	Unclean bool   `json:"unclean,omitempty"`
	Steps   []Step `json:"steps,omitempty"`

	dir string
}

// Step is one thing done to the broker. Exactly one of its fields is set.
type Step struct {
	// Produce lists what one Produce request appended.
	Produce []Append `json:"produce,omitempty"`
	// DeleteRecords moved a partition's log start offset.
	DeleteRecords *DeleteRecords `json:"deleteRecords,omitempty"`
	// Restart: the broker was stopped cleanly and started again.
	Restart bool `json:"restart,omitempty"`
}

// Append is one partition of a Produce request, and how it was answered.
type Append struct {
	Partition int32 `json:"partition"`
	ErrorCode int16 `json:"errorCode,omitempty"`
	// BaseOffset is the first offset assigned; for a duplicate, the original's.
	BaseOffset     int64 `json:"baseOffset"`
	LogAppendTime  int64 `json:"logAppendTime"` // -1 unless the topic's timestamp type is LogAppendTime
	LogStartOffset int64 `json:"logStartOffset"`
	// LeaderEpoch is the partition's when the batch was appended.
	LeaderEpoch int32 `json:"leaderEpoch"`
	// Records is the request's record set, as the client sent it.
	Records []byte `json:"-"`
}

// DeleteRecords is one partition of a DeleteRecords request, and how it was answered.
type DeleteRecords struct {
	Partition      int32 `json:"partition"`
	Offset         int64 `json:"offset"`
	LogStartOffset int64 `json:"logStartOffset"`
}

// LoadAll loads each case under root, sorted by name. From package storage, root is "testdata/golden".
func LoadAll(root string) ([]Case, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := Load(filepath.Join(root, e.Name()))
		if err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// Load loads one case.
func Load(dir string) (Case, error) {
	c := Case{dir: dir}
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%s: %w", dir, err)
	}
	requests, err := c.Requests()
	if err != nil {
		return c, err
	}
	for i, s := range c.Steps {
		if len(s.Produce) == 0 {
			continue
		}
		if len(requests) == 0 {
			return c, fmt.Errorf("%s: fewer requests than produce steps", dir)
		}
		if err := fillRecords(s.Produce, requests[0]); err != nil {
			return c, fmt.Errorf("%s: step %d: %w", dir, i, err)
		}
		requests = requests[1:]
	}
	if len(requests) != 0 {
		return c, fmt.Errorf("%s: %d requests without a step", dir, len(requests))
	}
	return c, nil
}

// Requests returns the Produce requests of the case's steps as they went over the wire, without their size prefix.
func (c Case) Requests() ([][]byte, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, "requests.bin"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var requests [][]byte
	for len(b) > 0 {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, fmt.Errorf("%s/requests.bin ends within a request", c.dir)
		}
		n := binary.BigEndian.Uint32(b)
		requests = append(requests, b[4:4+n:4+n])
		b = b[4+n:]
	}
	return requests, nil
}

// fillRecords takes the record sets out of a Produce request.
func fillRecords(appends []Append, request []byte) error {
	req, err := parseProduce(request)
	if err != nil {
		return err
	}
	sets := map[int32][]byte{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			sets[p.Partition] = p.Records
		}
	}
	if len(sets) != len(appends) {
		return fmt.Errorf("request has %d partitions, its step %d", len(sets), len(appends))
	}
	for i := range appends {
		appends[i].Records = sets[appends[i].Partition]
	}
	return nil
}

// parseProduce decodes a request of a version before 9: api key, version, correlation id, client id, body.
func parseProduce(b []byte) (*kmsg.ProduceRequest, error) {
	if len(b) < 10 || binary.BigEndian.Uint16(b) != 0 {
		return nil, errors.New("not a Produce request")
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version = int16(binary.BigEndian.Uint16(b[2:]))
	clientID := max(0, int(int16(binary.BigEndian.Uint16(b[8:]))))
	if req.Version > 8 || len(b) < 10+clientID {
		return nil, fmt.Errorf("produce request of version %d, %d bytes", req.Version, len(b))
	}
	return req, req.ReadFrom(b[10+clientID:])
}

// Files returns what the log directory held: paths relative to it, with slashes. For an unclean case, as the kill left it.
func (c Case) Files() (map[string][]byte, error) {
	if c.Unclean {
		return readArchive(filepath.Join(c.dir, "log.tar.gz"))
	}
	return readTree(filepath.Join(c.dir, "log"))
}

// RecoveredFiles is an unclean case's directory after Apache Kafka had recovered it and stopped.
func (c Case) RecoveredFiles() (map[string][]byte, error) {
	return readTree(filepath.Join(c.dir, "recovered"))
}

// Write puts files under dir, as a broker's log directory.
func Write(dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func readTree(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	return files, err
}

func readArchive(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	files := map[string][]byte{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		// The archive is the project's own; the bound only stops a damaged one from taking all memory.
		if files[h.Name], err = io.ReadAll(io.LimitReader(t, 64<<20)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, h.Name, err)
		}
	}
}
