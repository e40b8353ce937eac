package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// spaceTag is a tagged field of a directory in DescribeLogDirs version 2, which says how full one is that has little room left. Kafka tells
// that only from version 4 on (KIP-827). Whoever does not know the field passes over it, as everybody must.
const spaceTag = 10_000

// SetSpace says how many bytes are free, and how many there are, on the file system of a directory.
func SetSpace(d *kmsg.DescribeLogDirsResponseDir, free, total int64) {
	b := binary.BigEndian.AppendUint64(nil, uint64(free))
	d.UnknownTags.Set(spaceTag, binary.BigEndian.AppendUint64(b, uint64(total)))
}

// Space is what SetSpace said, false if it said nothing.
func Space(d *kmsg.DescribeLogDirsResponseDir) (free, total int64, ok bool) {
	d.UnknownTags.Each(func(tag uint32, b []byte) {
		if tag == spaceTag && len(b) == 16 {
			free, total = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
			ok = free >= 0 && total > 0
		}
	})
	return free, total, ok
}
