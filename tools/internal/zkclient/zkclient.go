// Package zkclient opens the connection of a command that goes through ZooKeeper.
//
// Owns, is guarded by: nothing. Invariant: a command without its server ends with Kafka's exception after 30 s. Imports: zkmeta, kclient.
// Kafka counterpart: kafka.zk.KafkaZkClient.
package zkclient

import (
	"context"
	"fmt"
	"io"
	"time"

	"gregor/tools/internal/kclient"
	"gregor/zkmeta"
)

// timeout is how long a command waits for ZooKeeper, and the session it asks for.
const timeout = 30 * time.Second

// Dial connects to host:port,host:port/chroot.
func Dial(ctx context.Context, connect string, stderr io.Writer) (*zkmeta.Client, error) {
	c, err := zkmeta.Dial(ctx, zkmeta.Options{Connect: connect, SessionTimeout: timeout, ConnectTimeout: timeout})
	if err != nil {
		fmt.Fprintf(stderr, "gregor: %v; check --zookeeper and that the server runs\n", err)
		return nil, &kclient.APIError{Class: "kafka.zookeeper.ZooKeeperClientTimeoutException",
			Message: "Timed out waiting for connection while in state: CONNECTING"}
	}
	return c, nil
}
