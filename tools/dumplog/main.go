package dumplog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gregor/internal/jvm"
	"gregor/internal/vfs"
	"gregor/storage/producerstate"
	"gregor/storage/txnindex"
	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

const stringDecoder = "kafka.serializer.StringDecoder"

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "print-data-log", Doc: "Print keys and values too; implied by a decoder."},
		cli.Opt{Name: "verify-index-only", Doc: "Compare indexes with their log without printing them."},
		cli.Opt{Name: "index-sanity-check", Doc: "Only check whether an index is plausible, as a broker does when it starts."},
		cli.Opt{Name: "files", Kind: cli.String, Arg: "file1, file2, ...", Doc: "REQUIRED: the files to print, separated by commas: .log, .index, .timeindex, .snapshot, .txnindex."},
		cli.Opt{Name: "max-message-size", Kind: cli.Int, Arg: "size", Default: "5242880", Doc: "The largest batch that an index may point to."},
		cli.Opt{Name: "deep-iteration", Doc: "Print records and not only batches; implied by --print-data-log."},
		cli.Opt{Name: "value-decoder-class", Kind: cli.String, Optional: true, Default: stringDecoder, Doc: "How values are printed: Kafka's StringDecoder, LongDecoder, IntegerDecoder or DefaultDecoder."},
		cli.Opt{Name: "key-decoder-class", Kind: cli.String, Optional: true, Default: stringDecoder, Doc: "How keys are printed, likewise."},
		cli.Opt{Name: "offsets-decoder", Doc: "Print records as what __consumer_offsets holds."},
		cli.Opt{Name: "transaction-log-decoder", Doc: "Print records as what __transaction_state holds."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr,
		"This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly corrupt log segment."); done {
		return code
	}
	if err := o.Require("files"); err != nil {
		return p.Fail(stderr, err)
	}
	if err := o.Check("files", "max-message-size", "value-decoder-class", "key-decoder-class"); err != nil {
		return p.Fail(stderr, err)
	}
	d := &dumper{out: bufio.NewWriterSize(stdout, 128<<10), stderr: stderr, fs: vfs.OS, verify: o.Has("verify-index-only"),
		sanity: o.Has("index-sanity-check"), maxSize: o.Int("max-message-size")}
	d.print = o.Has("print-data-log") || o.Has("offsets-decoder") || o.Has("transaction-log-decoder") ||
		o.Has("value-decoder-class") || o.Has("key-decoder-class")
	d.deep = d.print || o.Has("deep-iteration")
	err = d.chooseDecoder(o)
	list := strings.TrimRight(o.String("files"), ",")
	for arg := range strings.SplitSeq(list, ",") {
		if err != nil || list == "" && o.String("files") != "" { // a lone comma names nothing
			break
		}
		err = d.file(arg)
	}
	if ferr := d.out.Flush(); ferr != nil && err == nil {
		return 1
	}
	if err != nil {
		fmt.Fprintln(stderr, `Exception in thread "main" `+trace(err))
		return 1
	}
	d.findings()
	return 0
}

type dumper struct {
	out     *bufio.Writer
	stderr  io.Writer
	fs      vfs.FS
	print   bool
	deep    bool
	verify  bool
	sanity  bool
	maxSize int64
	decode  decoder
	line    []byte

	mismatches []finding // of offset indexes
	timeErrors []*timeFindings
	gaps       []finding
}

// finding is a list of pairs of one file, told at the end.
type finding struct {
	file  string
	pairs [][2]int64
}

func (d *dumper) file(arg string) error {
	name := javaPath(arg)
	fmt.Fprintf(d.out, "Dumping %s\n", name)
	base := filepath.Base(name)
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 {
		return &kclient.APIError{Class: "java.lang.StringIndexOutOfBoundsException",
			Message: fmt.Sprintf("begin -1, end %d, length %d", len(base), len(base))}
	}
	switch base[dot:] {
	case ".log":
		return d.log(name)
	case ".index":
		return d.offsetIndex(name)
	case ".timeindex":
		return d.timeIndex(name)
	case ".snapshot":
		return d.snapshot(name)
	case ".txnindex":
		return d.txnIndex(name)
	}
	d.out.Flush() //nolint:errcheck // looked at in the end
	fmt.Fprintf(d.stderr, "Ignoring unknown file %s\n", name)
	return nil
}

// baseOffset is the number that a segment file's name begins with.
func baseOffset(name string) (int64, error) {
	word, _, _ := strings.Cut(filepath.Base(name), ".")
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, &kclient.APIError{Class: "java.lang.NumberFormatException", Message: fmt.Sprintf("For input string: %q", word)}
	}
	return n, nil
}

// sibling is the file of the same segment with another suffix.
func sibling(name, suffix string) string {
	word, _, _ := strings.Cut(filepath.Base(name), ".")
	abs := absolute(name)
	return abs[:strings.LastIndexByte(abs, '/')+1] + word + suffix
}

// absolute is Java's getAbsolutePath: `..` stays.
func absolute(name string) string {
	here, err := os.Getwd()
	if err != nil || filepath.IsAbs(name) {
		return name
	}
	return here + "/" + name
}

// javaPath is what Java's File makes of a path: no double and no trailing slashes.
func javaPath(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	if len(s) > 1 {
		s = strings.TrimSuffix(s, "/")
	}
	return s
}

func (d *dumper) snapshot(name string) error {
	b, err := d.readAll(name)
	if err != nil {
		return err
	}
	entries, err := producerstate.DecodeSnapshot(b)
	if err != nil {
		d.out.Flush() //nolint:errcheck // looked at in the end
		var corrupt *producerstate.CorruptSnapshotError
		if errors.As(err, &corrupt) {
			fmt.Fprintln(d.stderr, snapshotProblem(b, corrupt.Reason))
			return nil
		}
		return err
	}
	for i := range entries {
		e := &entries[i]
		first := "None"
		if e.TxnFirstOffset >= 0 {
			first = fmt.Sprintf("Some(%d)", e.TxnFirstOffset)
		}
		fmt.Fprintf(d.out, "producerId: %d producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s ",
			e.ProducerID, e.ProducerEpoch, e.CoordinatorEpoch, first)
		if e.LastOffset >= 0 {
			fmt.Fprintf(d.out, "firstSequence: %d lastSequence: %d lastOffset: %d offsetDelta: %d timestamp: %d",
				firstSequence(e.LastSequence, e.OffsetDelta), e.LastSequence, e.LastOffset, e.OffsetDelta, e.Timestamp)
		}
		fmt.Fprintln(d.out)
	}
	return nil
}

// snapshotProblem says in Kafka's words why a snapshot was refused.
func snapshotProblem(b []byte, reason string) string {
	const underflow = "java.nio.BufferUnderflowException"
	schema := func(what string) string { return "Snapshot failed schema validation: " + what }
	at := 0
	missing := func(size int) bool {
		at += size
		return at > len(b)
	}
	for _, f := range []snapshotField{{"version", 2}, {"crc", 4}} {
		if missing(f.size) {
			return schema("Error reading field '" + f.name + "': " + underflow)
		}
	}
	if missing(4) {
		return schema("Error reading field 'producer_entries': " + underflow)
	}
	n := int32(binary.BigEndian.Uint32(b[6:]))
	switch left := len(b) - at; {
	case n < 0:
		return schema(fmt.Sprintf("Error reading field 'producer_entries': Array size %d cannot be negative", n))
	case int(n) > left:
		return schema(fmt.Sprintf("Error reading field 'producer_entries': Error reading array of size %d, only %d bytes available", n, left))
	}
	for range n {
		for _, f := range snapshotEntry {
			if missing(f.size) {
				return schema("Error reading field 'producer_entries': Error reading field '" + f.name + "': " + underflow)
			}
		}
	}
	if v := int16(binary.BigEndian.Uint16(b)); v != 1 {
		return fmt.Sprintf("Snapshot contained an unknown file version %d", v)
	}
	stored, computed := binary.BigEndian.Uint32(b[2:]), crc32.Checksum(b[6:], crc32.MakeTable(crc32.Castagnoli))
	if stored != computed {
		return fmt.Sprintf("Snapshot is corrupt (CRC is no longer valid). Stored crc: %d. Computed crc: %d", stored, computed)
	}
	return "Snapshot is corrupt: " + reason
}

type snapshotField struct {
	name string
	size int
}

var snapshotEntry = []snapshotField{{"producer_id", 8}, {"epoch", 2}, {"last_sequence", 4}, {"last_offset", 8}, {"offset_delta", 4}, {"timestamp", 8},
	{"coordinator_epoch", 4}, {"current_txn_first_offset", 8}}

// firstSequence counts back from the last one; sequences wrap after the largest int32.
func firstSequence(last, delta int32) int32 {
	if last < delta {
		return 1<<31 - 1 - (delta - last) + 1
	}
	return last - delta
}

func (d *dumper) txnIndex(name string) error {
	if _, err := baseOffset(name); err != nil {
		return err
	}
	txns, err := txnindex.ReadAll(d.fs, name)
	if err != nil {
		return err
	}
	for _, t := range txns {
		fmt.Fprintf(d.out, "version: 0 producerId: %d firstOffset: %d lastOffset: %d lastStableOffset: %d\n",
			t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset)
	}
	return nil
}

func (d *dumper) readAll(name string) ([]byte, error) {
	f, size, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > math.MaxInt32 { // Kafka maps such files, and can no more either
		return nil, kclient.IllegalArgument(fmt.Sprintf("Size exceeds Integer.MAX_VALUE: %s has %d bytes", name, size))
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// findings tells what did not fit together, of offset indexes and logs in the order of Kafka's tables.
func (d *dumper) findings() {
	byFile := func(f finding) int32 { return jvm.StringHash(f.file) }
	jvm.ScalaOrder(d.mismatches, byFile)
	jvm.ScalaOrder(d.gaps, byFile)
	for _, m := range d.mismatches {
		fmt.Fprintf(d.stderr, "Mismatches in :%s\n", m.file)
		for i := len(m.pairs) - 1; i >= 0; i-- {
			fmt.Fprintf(d.stderr, "  Index offset: %d, log offset: %d\n", m.pairs[i][0], m.pairs[i][1])
		}
	}
	d.timeFindings()
	for _, g := range d.gaps {
		fmt.Fprintf(d.stderr, "Non-consecutive offsets in %s\n", g.file)
		for i := len(g.pairs) - 1; i >= 0; i-- {
			fmt.Fprintf(d.stderr, "  %d is followed by %d\n", g.pairs[i][0], g.pairs[i][1])
		}
	}
}

func trace(err error) string {
	var api *kclient.APIError
	var path *fs.PathError
	switch {
	case errors.As(err, &api):
		return api.Trace()
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &path):
		return "java.nio.file.NoSuchFileException: " + path.Path
	}
	return "org.apache.kafka.common.KafkaException: " + err.Error()
}
