package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Records is a stream of keys and values, for example Tree.Each.
type Records func(yield func(key, value []byte) bool)

// encoding writes records to a program's standard input, or reads them from its standard output.
type encoding struct {
	write func(w *bufio.Writer, key, value []byte)
	read  func(r *bufio.Reader) (key, value []byte, err error)
}

// pairs is what Pairs.java, pairs.py and sarama-pairs speak: a 4-byte length before each key and value, -1 for null.
var pairs = encoding{
	write: func(w *bufio.Writer, key, value []byte) {
		var n [4]byte
		for _, b := range [][]byte{key, value} {
			binary.BigEndian.PutUint32(n[:], uint32(len(b)))
			w.Write(n[:])
			w.Write(b)
		}
	},
	read: func(r *bufio.Reader) (key, value []byte, err error) {
		if key, err = readSized(r); err != nil {
			return nil, nil, err
		}
		if value, err = readSized(r); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return key, value, err
	},
}

func readSized(r *bufio.Reader) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(n[:]))
	if size < 0 {
		return nil, nil
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

// lines is what the console tools and kcat -K speak: key, tab, value, newline. A path has no tab, and the first one counts.
var lines = encoding{
	write: func(w *bufio.Writer, key, value []byte) {
		w.Write(key)
		w.WriteByte('\t')
		w.Write(value)
		w.WriteByte('\n')
	},
	read: func(r *bufio.Reader) ([]byte, []byte, error) {
		line, err := r.ReadBytes('\n')
		if err != nil {
			if len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
		key, value, ok := bytes.Cut(line[:len(line)-1], []byte{'\t'})
		if !ok {
			return nil, nil, fmt.Errorf("a line without a key: %.100q", line)
		}
		return key, value, nil
	},
}

// feed runs a program with records as its standard input.
func feed(ctx context.Context, e encoding, records Records, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w := bufio.NewWriterSize(in, 1<<16)
	for k, v := range records {
		e.write(w, k, v)
	}
	// The Writer keeps the first failed write: the program has ended, and its exit code and output say why.
	flushErr := errors.Join(w.Flush(), in.Close())
	if err := errors.Join(cmd.Wait(), flushErr); err != nil {
		return fmt.Errorf("%s: %w\n%s", short(argv), err, clip(out.String()))
	}
	// kcat and the console producer report a failed send on standard error, and exit 0.
	if s := out.String(); strings.Contains(s, "Delivery failed") || strings.Contains(s, "ERROR") {
		return fmt.Errorf("%s: %s", short(argv), clip(s))
	}
	return nil
}

// drain runs a program and takes records from its standard output.
func drain(ctx context.Context, e encoding, add func(key, value []byte), argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(out, 1<<16)
	for {
		k, v, err := e.read(r)
		if err == nil {
			add(k, v)
			continue
		}
		if err == io.EOF {
			err = nil
		}
		// What is left of a stream that does not parse is read away, so that the program ends.
		_, _ = io.Copy(io.Discard, out)
		if err := errors.Join(cmd.Wait(), err); err != nil {
			return fmt.Errorf("%s: %w\n%s", short(argv), err, clip(stderr.String()))
		}
		return nil
	}
}

func short(argv []string) string {
	s := strings.Join(argv, " ")
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}

func clip(s string) string {
	if len(s) > 3000 {
		return s[:1500] + "\n...\n" + s[len(s)-1500:]
	}
	return s
}
