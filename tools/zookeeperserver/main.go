// Package zookeeperserver is the command zookeeper-server-start: the embedded ZooKeeper alone, from a zookeeper.properties.
//
// Owns no state. Exit codes: as a JVM's 143 after SIGTERM and 130 after SIGINT, 1 when it cannot start or its store fails. Imports zkmeta/zkserver.
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
	if len(args) != 1 || args[0] == "--help" {
		fmt.Fprintln(stderr, usage)
		return 1
	}
	log := logrus.New()
	log.SetOutput(stdout)
	log.SetFormatter(logging.KafkaFormatter{})
	sig, err := run(args[0], logging.Named(log, "org.apache.zookeeper.server.ZooKeeperServer"))
	if err != nil {
		fmt.Fprintf(stderr, "gregor: %v\n", err)
		return 1
	}
	return 128 + int(sig)
}

// run serves until a signal asks it to stop, and returns that signal.
func run(path string, log logrus.FieldLogger) (syscall.Signal, error) {
	c, err := zkserver.LoadConfig(path)
	if err != nil {
		return 0, err
	}
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	c.Log = log
	ln, err := net.Listen("tcp", c.Address)
	if err != nil {
		return 0, fmt.Errorf("ZooKeeper cannot listen on %s: %w; it needs an address of this machine that nothing else listens on "+
			"(clientPort, clientPortAddress)", c.Address, err)
	}
	s, err := zkserver.New(c.Options)
	if err != nil {
		return 0, errors.Join(err, ln.Close())
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	log.Infof("Embedded ZooKeeper serves %v from %s", ln.Addr(), c.DataDir)
	var sig syscall.Signal
	select {
	case err := <-done:
		return 0, errors.Join(err, s.Close())
	case x := <-signals:
		sig, _ = x.(syscall.Signal)
		log.Infof("Embedded ZooKeeper stops on %v", sig)
	}
	go func() {
		<-signals
		os.Exit(128 + int(sig))
	}()
	return sig, s.Close()
}
