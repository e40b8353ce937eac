package compress

import (
	"fmt"

	"github.com/klauspost/compress/gzip"
)

// Writer compresses what is written to it piece by piece and holds no more than a block of it besides the compressed bytes. It knows the
// codecs of the old message formats: all but zstd. It may be used again after Close, and is not safe for concurrent use. Its output is
// that of Compress.
type Writer struct {
	codec Codec
	out   []byte
	block []byte // snappy and lz4: what does not fill a block yet
	size  int    // of a block
	gzip  *gzip.Writer
	err   error
}

// Reset begins to append to dst.
func (w *Writer) Reset(dst []byte, codec Codec) error {
	w.codec, w.out, w.block, w.err = codec, dst, w.block[:0], nil
	switch codec {
	case None:
	case Gzip:
		if w.gzip == nil { // else it was given up before Close
			w.gzip = gzipWriters.Get().(*gzip.Writer)
		}
		w.gzip.Reset((*gzipSink)(w))
	case Snappy:
		w.size = xerialBlock
		w.out = appendXerialHeader(w.out)
	case LZ4, LZ4V0:
		w.size = lz4BlockSize
		w.out = appendLZ4Header(w.out, codec)
	default:
		return fmt.Errorf("compression codec %s cannot be written piece by piece", codec)
	}
	return nil
}

// gzipSink is where a Writer's gzip.Writer writes to.
type gzipSink Writer

func (s *gzipSink) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// Write takes the next bytes. The first error sticks.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	switch {
	case w.err != nil:
		return 0, w.err
	case w.codec == None:
		w.out = append(w.out, p...)
		return n, nil
	case w.codec == Gzip:
		_, w.err = w.gzip.Write(p)
		return n, w.err
	}
	for len(p) > 0 && w.err == nil {
		if len(w.block) == 0 && len(p) >= w.size {
			w.flush(p[:w.size])
			p = p[w.size:]
			continue
		}
		k := min(w.size-len(w.block), len(p))
		w.block = append(w.block, p[:k]...)
		p = p[k:]
		if len(w.block) == w.size {
			w.flush(w.block)
			w.block = w.block[:0]
		}
	}
	return n, w.err
}

func (w *Writer) flush(block []byte) {
	if w.codec == Snappy {
		w.out = appendXerialBlock(w.out, block)
		return
	}
	w.out, w.err = appendLZ4Block(w.out, block)
}

// Len is how many bytes there are so far, those of Reset's dst included and without what awaits a full block.
func (w *Writer) Len() int { return len(w.out) }

// Close ends the compressed data and returns the extended slice.
func (w *Writer) Close() ([]byte, error) {
	if len(w.block) > 0 && w.err == nil {
		w.flush(w.block)
		w.block = w.block[:0]
	}
	switch w.codec {
	case Gzip:
		if err := w.gzip.Close(); w.err == nil {
			w.err = err
		}
		w.gzip.Reset(nil)
		gzipWriters.Put(w.gzip)
		w.gzip = nil
	case LZ4, LZ4V0:
		w.out = append(w.out, 0, 0, 0, 0)
	case None, Snappy, Zstd:
	}
	out := w.out
	w.out = nil
	return out, w.err
}
