package topics

import (
	"bufio"
	"errors"
	"io"
)

func newZooKeeper(string, *bufio.Writer, io.Writer) (service, error) {
	return nil, errors.New("--zookeeper: not built yet; use --bootstrap-server")
}
