package clusterstatus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
	"gregor/zkmeta"
)

// findings are the answers, as they came.
type findings struct {
	metadata   *kmsg.MetadataResponse
	moves      *kmsg.ListPartitionReassignmentsResponse
	minISR     map[string]int                          // topics
	settings   map[int32]map[string]string             // brokers
	dirs       map[int32]*kmsg.DescribeLogDirsResponse // brokers
	connect    string                                  // the ZooKeeper that a broker names
	registered []zkmeta.BrokerInfo
	groups     []Group
	controller int32 // of ZooKeeper; -1: none, or not known
	since      int64 // when it became the controller
	reached    bool  // ZooKeeper
	failed     []Problem
	notes      []string
}

// fail remembers a question that got no answer.
func (f *findings) fail(mu *sync.Mutex, what string, err error, do string) {
	mu.Lock()
	defer mu.Unlock()
	f.failed = append(f.failed, Problem{Kind: "unanswered", What: what + ": " + reason(err), Do: do})
}

// reason is why there is no answer, without the words of Java's exceptions.
func reason(err error) string {
	var api *kclient.APIError
	if errors.As(err, &api) && api.Code == kerr.RequestTimedOut.Code {
		return "no answer in time"
	}
	return err.Error()
}

// zookeeper asks ZooKeeper. Where it is was asked for, or a broker says; whoever stands outside of the brokers' network need not reach the latter.
func (f *findings) zookeeper(ctx context.Context, connect string, asked bool) *zkmeta.Client {
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	patience := 10 * time.Second
	if end, ok := ctx.Deadline(); ok {
		patience = time.Until(end)
	}
	var mu sync.Mutex
	zk, err := zkmeta.Dial(ctx, zkmeta.Options{Connect: connect, SessionTimeout: 10 * time.Second, ConnectTimeout: patience, MustExist: true, Log: quiet})
	if err != nil && !asked {
		f.notes = append(f.notes, "ZooKeeper at "+connect+", as the brokers name it, is not within reach from here: since when brokers are there, and the controller is one, is not known; --zookeeper gives another address")
		return nil
	}
	if err != nil {
		f.fail(&mu, "ZooKeeper at "+connect+" does not answer", err, "give --zookeeper an address that is within reach from here; if it is down, start it: brokers do without it for a while, the controller does not")
		return nil
	}
	f.controller = -1
	if f.registered, err = zk.Brokers(ctx); err == nil {
		var data []byte
		var st zkmeta.Stat
		if data, st, err = zk.Get(ctx, zkmeta.PathController); err == nil {
			f.controller, err = zkmeta.DecodeController(data)
			f.since = st.Ctime
		} else if errors.Is(err, zkmeta.ErrNoNode) {
			err = nil
		}
	}
	if err != nil {
		f.fail(&mu, "ZooKeeper at "+connect, err, "look at its log")
	}
	f.reached = err == nil
	return zk
}

// addresses are where registered brokers listen.
func (f *findings) addresses() string {
	var out []string
	for i := range f.registered {
		for _, e := range f.registered[i].Endpoints {
			if e.Protocol == "PLAINTEXT" {
				out = append(out, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
				break
			}
		}
	}
	return strings.Join(out, ",")
}

// brokers asks one broker who else is there, and then all.
func (f *findings) brokers(ctx context.Context, admin *kclient.Admin) error {
	md, err := kclient.Ask[*kmsg.MetadataResponse](ctx, admin, kmsg.NewPtrMetadataRequest(), "metadata")
	if err != nil {
		return err
	}
	f.metadata = md
	f.settings, f.dirs = map[int32]map[string]string{}, map[int32]*kmsg.DescribeLogDirsResponse{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	wg.Go(func() { f.askMoves(ctx, admin, &mu) })
	wg.Go(func() { f.askTopics(ctx, admin, &mu) })
	wg.Go(func() { f.askGroups(ctx, admin, &mu) })
	for i := range md.Brokers {
		wg.Go(func() { f.askBroker(ctx, admin, md.Brokers[i].NodeID, &mu) })
	}
	wg.Wait()
	for _, s := range f.settings {
		if f.connect == "" {
			f.connect = s["zookeeper.connect"]
		}
	}
	return nil
}

func (f *findings) askMoves(ctx context.Context, admin *kclient.Admin, mu *sync.Mutex) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	resp, err := kclient.Ask[*kmsg.ListPartitionReassignmentsResponse](ctx, admin, req, "listPartitionReassignments")
	if err == nil {
		err = kclient.Error(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		f.fail(mu, "moves of partitions cannot be listed", err, "see whether there is a controller; look at its log")
		return
	}
	f.moves = resp
}

func (f *findings) askTopics(ctx context.Context, admin *kclient.Admin, mu *sync.Mutex) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i := range f.metadata.Topics {
		if t := f.metadata.Topics[i].Topic; t != nil {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, *t, []string{"min.insync.replicas"}
			req.Resources = append(req.Resources, r)
		}
	}
	f.minISR = map[string]int{}
	if len(req.Resources) == 0 {
		return
	}
	resp, err := kclient.Ask[*kmsg.DescribeConfigsResponse](ctx, admin, req, "describeConfigs")
	if err != nil {
		f.fail(mu, "settings of topics cannot be read", err, "look at the brokers' logs")
		return
	}
	for i := range resp.Resources {
		for _, c := range resp.Resources[i].Configs {
			if n, err := strconv.Atoi(value(c.Value)); err == nil {
				f.minISR[resp.Resources[i].ResourceName] = n
			}
		}
	}
}

func value(v *string) string {
	if v == nil {
		return ""
	}
	return *v
}

func (f *findings) askBroker(ctx context.Context, admin *kclient.Admin, id int32, mu *sync.Mutex) {
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.Topics = []kmsg.DescribeLogDirsRequestTopic{} // the directories are enough
	found, err := kclient.AskBroker[*kmsg.DescribeLogDirsResponse](ctx, admin, id, dirs, "describeLogDirs")
	if err != nil {
		f.fail(mu, fmt.Sprintf("broker %d is registered and does not answer", id), err, "look at its log, and at the network between here and it; it may have stopped a moment ago")
		return
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id))
	r.ConfigNames = []string{"zookeeper.connect", minFree}
	req.Resources = append(req.Resources, r)
	settings := map[string]string{}
	resp, err := kclient.AskBroker[*kmsg.DescribeConfigsResponse](ctx, admin, id, req, "describeConfigs")
	if err == nil {
		for i := range resp.Resources {
			for _, c := range resp.Resources[i].Configs {
				settings[c.Name] = value(c.Value)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	f.dirs[id], f.settings[id] = found, settings
}

// minFree is the free space below which a directory takes no records.
const minFree = "gregor.log.dir.min.free.bytes"
