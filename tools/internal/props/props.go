// Package props reads the properties files that --producer.config, --consumer.config and --command-config name.
//
// Owns: the words of a missing file's error. Guarded by: nothing; values only. Holds always: what a tool reads is what the broker
// would. Imports: internal/properties.
// Kafka counterpart: org.apache.kafka.common.utils.Utils.loadProps.
package props

import (
	"fmt"
	"os"

	"gregor/internal/properties"
)

// Load reads the file at path. A missing file's error has the text of Java's exception, which Kafka's tools print.
func Load(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("java.nio.file.NoSuchFileException: %s", path)
		}
		return nil, fmt.Errorf("read properties file %s: %w", path, err)
	}
	m, err := properties.Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("properties %w", err)
	}
	return m, nil
}
