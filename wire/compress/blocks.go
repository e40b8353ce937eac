package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// blockReader decodes formats that are a sequence of independent blocks, one block at a time.
type blockReader struct {
	src  []byte // not yet decoded
	out  []byte // decoded, not yet read; part of buf, or of the source for stored blocks
	buf  []byte
	next func(r *blockReader) error // decodes the next block into out; io.EOF at the end
	lz4  lz4Frame
}

func (r *blockReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if err := r.next(r); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// maxKeptBlock is the largest block buffer that stays with a pooled reader.
const maxKeptBlock = 4 << 20

func (r *blockReader) release() {
	r.src, r.out = nil, nil
	if cap(r.buf) > maxKeptBlock {
		r.buf = nil
	}
}

func (r *blockReader) space(n int) []byte {
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	return r.buf[:n]
}

// The xerial framing: 8 bytes of magic, two versions, then blocks with their compressed length in front.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10

	// snappyMaxRatio bounds what a block can decode to: three bytes of input make at most 64 of output.
	snappyMaxRatio = 22
)

func (r *blockReader) resetSnappy(src []byte) error {
	r.src, r.out = src, nil
	if !bytes.HasPrefix(src, xerialMagic) {
		r.next = (*blockReader).rawSnappy
		return nil
	}
	if len(src) < xerialHeader {
		return io.ErrUnexpectedEOF
	}
	if v := int32(binary.BigEndian.Uint32(src[12:])); v > 1 {
		return fmt.Errorf("xerial framing needs a reader of version %d, this one is 1", v)
	}
	r.src = src[xerialHeader:]
	r.next = (*blockReader).xerialSnappy
	return nil
}

func (r *blockReader) xerialSnappy() error {
	if len(r.src) == 0 {
		return io.EOF
	}
	if len(r.src) < 4 {
		return io.ErrUnexpectedEOF
	}
	if bytes.HasPrefix(r.src, xerialMagic) { // streams may be concatenated
		if len(r.src) < xerialHeader {
			return io.ErrUnexpectedEOF
		}
		r.src = r.src[xerialHeader:]
		return nil
	}
	n := binary.BigEndian.Uint32(r.src)
	if uint64(n) > uint64(len(r.src)-4) {
		return io.ErrUnexpectedEOF
	}
	block := r.src[4 : 4+n]
	r.src = r.src[4+n:]
	return r.snappyBlock(block)
}

// rawSnappy is one block without framing, as some clients send.
func (r *blockReader) rawSnappy() error {
	if len(r.src) == 0 {
		return io.EOF
	}
	block := r.src
	r.src = nil
	return r.snappyBlock(block)
}

func (r *blockReader) snappyBlock(block []byte) error {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	if n > snappyMaxRatio*len(block) {
		return fmt.Errorf("snappy block of %d bytes claims to hold %d", len(block), n)
	}
	r.out, err = snappy.Decode(r.space(n), block)
	return err
}

// The LZ4 frame format as Kafka restricts it: version 1, independent blocks.
const (
	lz4Magic      = 0x184d2204
	lz4Stored     = 1 << 31
	lz4FlagSize   = 1 << 3
	lz4FlagBlocks = 1 << 4
	lz4FlagSum    = 1 << 2
	lz4BlockSize  = 64 << 10
)

type lz4Frame struct {
	flags    byte
	maxBlock int
}

var errLZ4Header = errors.New("unsupported lz4 frame header")

func (r *blockReader) resetLZ4(src []byte, checkHeader bool) error {
	r.src, r.out = src, nil
	if len(src) < 7 {
		return io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(src) != lz4Magic {
		return errors.New("no lz4 frame")
	}
	flags, bd := src[4], src[5]
	size := bd >> 4 & 7
	if flags&3 != 0 || flags>>5 != 1<<1|1 || bd&0x8f != 0 || size < 4 { // version 1, independent blocks, nothing reserved
		return errLZ4Header
	}
	end := 6
	if flags&lz4FlagSize != 0 {
		end += 8
	}
	if len(src) <= end {
		return io.ErrUnexpectedEOF
	}
	if checkHeader && src[end] != byte(xxh32(src[4:end])>>8) {
		return errors.New("lz4 frame header has a wrong checksum")
	}
	r.src = src[end+1:]
	r.lz4 = lz4Frame{flags, 1 << (2*size + 8)}
	r.next = (*blockReader).lz4Block
	return nil
}

func (r *blockReader) lz4Block() error {
	if len(r.src) < 4 {
		return io.ErrUnexpectedEOF
	}
	word := binary.LittleEndian.Uint32(r.src)
	n := int(word &^ lz4Stored)
	if n == 0 {
		if r.lz4.flags&lz4FlagSum != 0 && len(r.src) < 8 {
			return io.ErrUnexpectedEOF
		}
		return io.EOF // whatever follows the end mark is not looked at
	}
	if n > r.lz4.maxBlock {
		return fmt.Errorf("lz4 block of %d bytes exceeds the frame's maximum of %d", n, r.lz4.maxBlock)
	}
	sum := 0
	if r.lz4.flags&lz4FlagBlocks != 0 {
		sum = 4
	}
	if len(r.src)-4 < n+sum {
		return io.ErrUnexpectedEOF
	}
	block := r.src[4 : 4+n]
	if sum > 0 && xxh32(block) != binary.LittleEndian.Uint32(r.src[4+n:]) {
		return errors.New("lz4 block has a wrong checksum")
	}
	r.src = r.src[4+n+sum:]
	if word&lz4Stored != 0 {
		r.out = block
		return nil
	}
	m, err := lz4.UncompressBlock(block, r.space(r.lz4.maxBlock))
	if err != nil {
		return err
	}
	r.out = r.buf[:m]
	return nil
}

// xxh32 is xxHash32 with seed 0, which LZ4 frames use for checksums.
func xxh32(b []byte) uint32 {
	const (
		p1 = 2654435761
		p2 = 2246822519
		p3 = 3266489917
		p4 = 668265263
		p5 = 374761393
	)
	le := binary.LittleEndian
	n := uint32(len(b))
	var h uint32 = p5
	if len(b) >= 16 {
		v1, v2, v3, v4 := uint32(p1), uint32(p2), uint32(0), uint32(0)
		v1 += p2
		v4 -= p1
		for ; len(b) >= 16; b = b[16:] {
			v1 = bits.RotateLeft32(v1+le.Uint32(b)*p2, 13) * p1
			v2 = bits.RotateLeft32(v2+le.Uint32(b[4:])*p2, 13) * p1
			v3 = bits.RotateLeft32(v3+le.Uint32(b[8:])*p2, 13) * p1
			v4 = bits.RotateLeft32(v4+le.Uint32(b[12:])*p2, 13) * p1
		}
		h = bits.RotateLeft32(v1, 1) + bits.RotateLeft32(v2, 7) + bits.RotateLeft32(v3, 12) + bits.RotateLeft32(v4, 18)
	}
	h += n
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+le.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
