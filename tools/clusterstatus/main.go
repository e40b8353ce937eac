package clusterstatus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
	"gregor/tools/internal/props"
	"gregor/zkmeta"
)

const about = "gregor cluster status: the brokers of a cluster, its controller, what is wrong and what to do about it. Exit code 0: healthy; 1: not."

func newParser() *cli.Parser {
	return cli.New(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "host:port,host:port", Default: "127.0.0.1:9092",
			Doc: "Brokers to ask. With --zookeeper alone they are taken from there."},
		cli.Opt{Name: "zookeeper", Kind: cli.String, Arg: "host:port/chroot", Doc: "ZooKeeper, which knows since when brokers are there. Default: what a broker says is its own."},
		cli.Opt{Name: "command-config", Kind: cli.String, Arg: "file", Doc: "Properties file for the client."},
		cli.Opt{Name: "timeout", Kind: cli.Long, Arg: "ms", Default: "3000", Doc: "How long to wait for answers."},
		cli.Opt{Name: "json", Doc: "Print JSON."},
		cli.Opt{Name: "help", Help: true, Doc: "Print this text."})
}

// Main is `gregor cluster`; its one word is status.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	if len(args) > 0 && args[0] == "status" {
		args = args[1:]
	} else if len(args) == 0 || args[0] != "--help" {
		return p.Usage(stderr, "gregor cluster: say what: `gregor cluster status`")
	}
	o, err := p.Parse(args)
	if err == nil {
		err = o.Check("bootstrap-server", "zookeeper", "command-config", "timeout")
	}
	if err != nil {
		return p.Fail(stderr, err)
	}
	if o.Has("help") {
		p.Usage(stderr, about)
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.Int("timeout"))*time.Millisecond)
	defer cancel()
	settings := map[string]string{}
	if o.Has("command-config") {
		if settings, err = props.Load(o.String("command-config")); err != nil {
			return kclient.Uncaught(stderr, err)
		}
	}
	settings["default.api.timeout.ms"] = o.String("timeout")
	s := look(ctx, o, settings)
	if o.Has("json") {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(s)
	} else {
		_, err = io.WriteString(stdout, s.text(time.Now()))
	}
	if err != nil {
		fmt.Fprintf(stderr, "gregor: cannot print the status: %v\n", err)
		return 1
	}
	if !s.Healthy {
		return 1
	}
	return 0
}

// look asks all that can be asked, and judges it.
func look(ctx context.Context, o *cli.Options, settings map[string]string) *Status {
	f := &findings{}
	servers := o.String("bootstrap-server")
	var zk *zkmeta.Client
	if connect := o.String("zookeeper"); connect != "" {
		zk = f.zookeeper(ctx, connect, true)
		if !o.Has("bootstrap-server") && len(f.registered) > 0 {
			servers = f.addresses()
		}
	}
	admin, err := kclient.OpenAdmin(servers, settings, "cluster-status", nil)
	if err == nil {
		defer admin.Close()
		err = f.brokers(ctx, admin)
	}
	if err != nil {
		f.failed = append(f.failed, Problem{Kind: "brokers", What: "no broker answers at " + servers + ": " + reason(err),
			Do: "check --bootstrap-server; start the brokers with scripts/kafka-server-start.sh; look at their logs"})
	}
	if zk == nil && f.connect != "" {
		limit, cancel := context.WithTimeout(ctx, zkPatience)
		defer cancel()
		zk = f.zookeeper(limit, f.connect, false)
	}
	if zk != nil {
		zk.Close()
	}
	return f.judge()
}

// zkPatience is for a ZooKeeper whose address comes from a broker, and may not be within reach from here.
const zkPatience = 500 * time.Millisecond
