package cli

import (
	"fmt"
	"io"
	"time"
)

// Log writes one line in the layout of Kafka's tools-log4j.properties; tools log warnings and errors, to stderr.
func Log(w io.Writer, level, logger, message string) {
	fmt.Fprintf(w, "[%s] %s %s (%s)\n", time.Now().Format("2006-01-02 15:04:05,000"), level, message, logger)
}
