package broker

import (
	"fmt"
	"net"
	"time"

	"gregor/internal/logging"
	"gregor/zkmeta"
	"gregor/zkmeta/zkserver"
)

// ZooKeeper is an embedded ZooKeeper that listens.
type ZooKeeper struct {
	srv    *zkserver.Server
	addr   net.Addr
	served chan struct{} // closed when it serves no more
	err    error         // why; valid then
}

// embeddedTick gives sessions of 4 to 40 seconds, which holds Kafka's default of 18.
const embeddedTick = 2 * time.Second

// StartZooKeeper starts the embedded ZooKeeper that gregor.zookeeper.embedded asks for, at the first address of zookeeper.connect, with
// the options of the broker beside it.
func StartZooKeeper(opt Options) (*ZooKeeper, error) {
	cfg, listen := opt.Config, opt.Listen
	if listen == nil {
		listen = net.Listen
	}
	servers, _, err := zkmeta.ParseConnect(cfg.ZooKeeper.Connect)
	if err != nil {
		return nil, err
	}
	ln, err := listen("tcp", servers[0])
	if err != nil {
		return nil, fmt.Errorf("embedded ZooKeeper: listen on %s: %w; another ZooKeeper or broker may run there: stop it, or give zookeeper.connect another address", servers[0], err)
	}
	srv, err := zkserver.New(zkserver.Options{
		FS:       opt.FS,
		DataDir:  cfg.Gregor.ZooKeeperDataDir,
		TickTime: embeddedTick,
		Log:      logging.Named(opt.Log, "org.apache.zookeeper.server.ZooKeeperServer"),
	})
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("embedded ZooKeeper: open %s (gregor.zookeeper.data.dir): %w", cfg.Gregor.ZooKeeperDataDir, err)
	}
	z := &ZooKeeper{srv: srv, addr: ln.Addr(), served: make(chan struct{})}
	go func() {
		z.err = srv.Serve(ln)
		close(z.served)
	}()
	return z, nil
}

// Failed is closed when the server has ended; Err then says why, unless it was closed.
func (z *ZooKeeper) Failed() <-chan struct{} { return z.served }

// HasFailed says whether it has.
func (z *ZooKeeper) HasFailed() bool {
	select {
	case <-z.served:
		return true
	default:
		return false
	}
}

// Err is why a server that has ended did: nothing it was told since is on disk.
func (z *ZooKeeper) Err() error { return fmt.Errorf("the embedded ZooKeeper has failed: %w", z.err) }

// Addr is where it listens.
func (z *ZooKeeper) Addr() net.Addr { return z.addr }

// Close stops it; what it acknowledged is on disk already.
func (z *ZooKeeper) Close() error {
	err := z.srv.Close()
	<-z.served
	return err
}
