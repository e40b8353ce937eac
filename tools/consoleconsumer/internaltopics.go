package consoleconsumer

import (
	"bufio"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/tools/internal/coordrecords"
)

// lineFormatter prints records of one of Kafka's own topics, and nothing for those that are of another kind.
type lineFormatter func(key, value []byte) (line string, ok bool, err error)

func (f lineFormatter) write(out *bufio.Writer, r *kgo.Record) error {
	line, ok, err := f(r.Key, r.Value)
	if ok && err == nil {
		out.WriteString(line + "\n") //nolint:errcheck // see plainFormatter.write
	}
	return err
}

// internalFormatter finds the formatters for Kafka's own topics.
func internalFormatter(class string) formatter {
	switch class {
	case "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter":
		return lineFormatter(coordrecords.FormatOffset)
	case "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter":
		return lineFormatter(coordrecords.FormatGroup)
	case "kafka.coordinator.transaction.TransactionLog$TransactionLogMessageFormatter":
		return lineFormatter(coordrecords.FormatTransaction)
	}
	return nil
}
