// Package zookeeperserver is the command zookeeper-server-start: the embedded ZooKeeper alone, from a zookeeper.properties.
//
// Owns no state. Exit codes: 0 after a clean stop, 1 when it cannot start or its store fails. Imports zkmeta/zkserver.
// Kafka's counterpart: bin/zookeeper-server-start.sh, which starts ZooKeeper's QuorumPeerMain.
package zookeeperserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"

	"gregor/internal/logging"
	"gregor/zkmeta/zkserver"
)

const usage = "USAGE: zookeeper-server-start zookeeper.properties"

// Main runs the server until SIGINT or SIGTERM; a second signal ends it at once.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, usage)
		return 1
	}
	log := logrus.New()
	log.SetOutput(stdout)
	log.SetFormatter(logging.KafkaFormatter{})
	if err := run(args[0], log); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func run(path string, log *logrus.Logger) error {
	c, err := zkserver.LoadConfig(path)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	c.Log = log
	ln, err := net.Listen("tcp", c.Address)
	if err != nil {
		return fmt.Errorf("zookeeper cannot listen on clientPort: %w", err)
	}
	s, err := zkserver.New(c.Options)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	log.Infof("Embedded ZooKeeper serves %v from %s", ln.Addr(), c.DataDir)
	select {
	case err := <-done:
		return errors.Join(err, s.Close())
	case sig := <-signals:
		log.Infof("Embedded ZooKeeper stops on %v", sig)
	}
	go func() {
		<-signals
		os.Exit(130)
	}()
	return s.Close()
}
