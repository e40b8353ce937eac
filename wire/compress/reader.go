package compress

import (
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Reader is a pooled streaming decoder over one compressed byte slice. Close returns it to its pool; it must not be used after.
type Reader struct {
	codec  Codec
	src    bytes.Reader
	none   []byte
	blocks blockReader // snappy and lz4
	gzip   *gzip.Reader
	zstd   *zstd.Decoder
	big    bool // the zstd decoder may hold a large window: do not keep it
}

var readers [5]sync.Pool

// maxKeptWindow is the largest zstd window whose buffers are worth keeping in the pool: that of level 19. maxWindow is the largest
// that is read at all, the default of Java's decoder (and what level 22 uses for large inputs).
const (
	maxKeptWindow = 8 << 20
	maxWindow     = 128 << 20
)

// hugeWindow lets one reader at a time have a window that is not kept: each takes 128 MB, whatever the size of what it reads. Nobody
// holds two readers at once.
var hugeWindow sync.Mutex

// NewReader starts decoding src, which must stay unchanged until Close.
func NewReader(codec Codec, src []byte) (*Reader, error) {
	base := codec
	if base == LZ4V0 {
		base = LZ4
	}
	if !base.Valid() {
		return nil, fmt.Errorf("unknown compression codec %d", int8(codec))
	}
	r, _ := readers[base].Get().(*Reader)
	if r == nil {
		r = &Reader{codec: base}
	}
	if err := r.reset(codec, src); err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", base, err)
	}
	return r, nil
}

func (r *Reader) reset(codec Codec, src []byte) (err error) {
	switch codec {
	case None:
		r.none = src
	case Snappy:
		return r.blocks.resetSnappy(src)
	case LZ4, LZ4V0:
		return r.blocks.resetLZ4(src, codec == LZ4)
	case Gzip:
		r.src.Reset(src)
		if r.gzip == nil {
			r.gzip, err = gzip.NewReader(&r.src)
			return err
		}
		return r.gzip.Reset(&r.src)
	case Zstd:
		var h zstd.Header
		r.big = h.Decode(src) == nil && (h.Skippable || h.WindowSize > maxKeptWindow || h.SingleSegment && h.FrameContentSize > maxKeptWindow)
		if r.big {
			hugeWindow.Lock()
		}
		r.src.Reset(src)
		if r.zstd == nil {
			r.zstd, err = zstd.NewReader(&r.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			return err
		}
		return r.zstd.Reset(&r.src)
	}
	return nil
}

// Read decodes the next bytes. The end of the data is io.EOF; input that ends too early is io.ErrUnexpectedEOF.
func (r *Reader) Read(p []byte) (int, error) {
	switch r.codec {
	case Snappy, LZ4:
		return r.blocks.Read(p)
	case Gzip:
		return r.gzip.Read(p)
	case Zstd:
		return r.zstd.Read(p)
	}
	if len(r.none) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.none)
	r.none = r.none[n:]
	return n, nil
}

// Close gives the decoder back to its pool.
func (r *Reader) Close() {
	r.none = nil
	r.src.Reset(nil)
	r.blocks.release()
	switch {
	case r.big:
		if r.zstd != nil {
			r.zstd.Close()
			r.zstd = nil
		}
		r.big = false
		debug.FreeOSMemory()
		hugeWindow.Unlock()
	case r.zstd != nil && r.zstd.Reset(nil) != nil:
		r.zstd = nil
	}
	readers[r.codec].Put(r)
}
