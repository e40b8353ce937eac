package peer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// ZooKeeper is a running stand-alone server.
type ZooKeeper struct {
	*Process
	Addr string
	Dir  string

	start func() (*Process, error)
}

// run starts the process and waits until it serves.
func (z *ZooKeeper) run(ctx context.Context) (*ZooKeeper, error) {
	p, err := z.start()
	if err != nil {
		return nil, err
	}
	z.Process = p
	if err := z.waitServing(ctx); err != nil {
		z.Close()
		return nil, err
	}
	return z, nil
}

// Restart starts the server anew on the same port and data, after a Stop or a Kill.
func (z *ZooKeeper) Restart(ctx context.Context) (*ZooKeeper, error) {
	return (&ZooKeeper{Addr: z.Addr, Dir: z.Dir, start: z.start}).run(ctx)
}

// StartZooKeeper starts Debian's ZooKeeper on data under dir (Apache Kafka's own jar where Debian's is missing) and waits until it
// serves.
func StartZooKeeper(ctx context.Context, dir string) (*ZooKeeper, error) {
	cp := debianZooKeeper()
	if cp == "" {
		var err error
		if cp, err = Classpath("kafka-2.7.2"); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	logOption, err := writeLog4j(dir, "WARN")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "zoo.cfg")
	err = writeProperties(config, map[string]string{
		"clientPort": strconv.Itoa(port), "clientPortAddress": "127.0.0.1", "dataDir": filepath.Join(dir, "data"),
		"tickTime": "2000", "maxClientCnxns": "0", "admin.enableServer": "false", "4lw.commands.whitelist": "*",
	})
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: dir, start: func() (*Process, error) {
		return startProcess(dir, "zookeeper", nil, "java", "-Xmx512m", logOption, "-cp", cp, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	}}
	return z.run(ctx)
}

// waitServing waits for "Mode:" in the answer to srvr: "ruok" is answered before the server serves.
func (z *ZooKeeper) waitServing(ctx context.Context) error {
	return poll(ctx, z.Process, func(ctx context.Context) error {
		s, err := fourLetterWord(ctx, z.Addr, "srvr")
		if err == nil && !strings.Contains(s, "Mode:") {
			err = fmt.Errorf("srvr says %q", s)
		}
		return err
	})
}

func fourLetterWord(ctx context.Context, addr, word string) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if dl, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(dl); err != nil {
			return "", err
		}
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// poll calls ready until it returns nil, the process ends or the context does.
func poll(ctx context.Context, p *Process, ready func(context.Context) error) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return fmt.Errorf("%s ended with code %d while starting%s; the end of %s:\n%s", p.Name, p.ExitCode(), complaint(p.Log), p.Log, tail(p.Log, 2000))
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w; the end of %s:\n%s", p.Name, err, p.Log, tail(p.Log, 2000))
		}
	}
}

// complaint is the last line of a log that tells of an error with what follows it, such as an exception; what is shut down after it is long.
func complaint(name string) string {
	lines := strings.Split(tail(name, 200_000), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, sign := range []string{" FATAL ", " ERROR ", "Exception: "} {
			if strings.Contains(lines[i], sign) && !strings.Contains(lines[i], "Exiting Kafka.") {
				return " (" + strings.Join(lines[i:min(i+3, len(lines))], " / ") + ")"
			}
		}
	}
	return ""
}

func tail(name string, n int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-n):])
}
