package consoleproducer

import (
	"bytes"
	"errors"
	"io"
)

// blockSize is how much is read at once. Lines point into their block, so a block lives until its last record is acknowledged.
const blockSize = 256 << 10

// lineReader cuts a stream into lines without copying them.
type lineReader struct {
	r       io.Reader
	idle    func() // called before a read that may block
	block   []byte // unread rest of the current block; capacity is room to read on
	pending []byte // rest of a line that holds carriage returns
	split   bool   // pending is in use
	eof     bool
}

// next returns the next line without its end; io.EOF after the last.
func (l *lineReader) next() ([]byte, error) {
	if l.split {
		return l.cutCR(), nil
	}
	scanned := 0
	for {
		if i := bytes.IndexByte(l.block[scanned:], '\n'); i >= 0 {
			line := l.block[:scanned+i]
			l.block = l.block[scanned+i+1:]
			return l.whole(line), nil
		}
		scanned = len(l.block)
		if l.eof {
			if scanned == 0 {
				return nil, io.EOF
			}
			line := l.block
			l.block = nil
			return l.whole(line), nil
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// whole takes a line that ended in LF or at the end of input and returns its first part.
func (l *lineReader) whole(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if bytes.IndexByte(line, '\r') < 0 {
		return line
	}
	l.pending, l.split = line, true
	return l.cutCR()
}

func (l *lineReader) cutCR() []byte {
	line := l.pending
	i := bytes.IndexByte(line, '\r')
	if i < 0 {
		l.pending, l.split = nil, false
		return line
	}
	l.pending = line[i+1:]
	return line[:i:i]
}

func (l *lineReader) fill() error {
	if len(l.block) == cap(l.block) {
		size := blockSize
		if len(l.block) > blockSize/2 {
			size = len(l.block) * 2
		}
		b := make([]byte, len(l.block), size)
		copy(b, l.block)
		l.block = b
	}
	l.idle()
	n, err := l.r.Read(l.block[len(l.block):cap(l.block)])
	l.block = l.block[:len(l.block)+n]
	if errors.Is(err, io.EOF) {
		l.eof = true
		return nil
	}
	return err
}
