package main

import (
	"fmt"
	"io"
)

// serve is `gregor` and `gregor kafka-server-start [server.properties] [--override k=v]...`.
//
// TO BE REPLACED by the call into package broker: args are nil for a bare `gregor`, otherwise what follows the command.
func serve(_ []string, _ io.Reader, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "gregor: this build has no broker")
	return 1
}
