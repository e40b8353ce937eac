package compare

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// logBytes is what a topic's partitions have in their segment files. stamped says that the broker wrote timestamps or compressed
// anew: then it is the batches' headers without them.
func (b *Broker) logBytes(topic string, stamped bool) any {
	out := map[string]any{}
	files, err := filepath.Glob(filepath.Join(b.LogDir, topic+"-[0-9]*", "*.log"))
	if err != nil {
		return err.Error()
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		if len(content) == 0 {
			continue // Gregor makes the files with the first record
		}
		name := fmt.Sprintf("%s/%s", filepath.Base(filepath.Dir(f)), filepath.Base(f))
		if stamped {
			out[name] = stampless(content)
			continue
		}
		var batches []any
		for i := 0; len(content) > 0; i++ {
			n := len(content)
			if n >= 61 {
				n = min(n, 12+int(uint32(content[8])<<24|uint32(content[9])<<16|uint32(content[10])<<8|uint32(content[11])))
			}
			batches = append(batches, hex.EncodeToString(content[:n]))
			content = content[n:]
		}
		out[name] = batches
	}
	return out
}
