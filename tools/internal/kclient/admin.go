package kclient

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/props"
)

// Admin is a client for administration.
type Admin struct {
	Client  *kgo.Client
	timeout time.Duration
}

// NewAdmin makes a client of what a tool's --bootstrap-server and --command-config say. clientID is the default of client.id.
func NewAdmin(o *cli.Options, clientID string, stderr io.Writer) (*Admin, error) {
	settings := map[string]string{}
	if len(o.Values("command-config")) > 0 {
		var err error
		if settings, err = props.Load(o.String("command-config")); err != nil {
			return nil, err
		}
	}
	return OpenAdmin(o.String("bootstrap-server"), settings, clientID, stderr)
}

// OpenAdmin makes a client of Kafka's client properties.
func OpenAdmin(servers string, settings map[string]string, clientID string, stderr io.Writer) (*Admin, error) {
	cfg := Config{Servers: servers, Props: settings, ClientID: clientID, Warn: stderr}
	if id := cfg.Props["client.id"]; id != "" {
		clientID = id
	}
	cfg.Name = "AdminClient clientId=" + clientID
	a, err := newAdmin(cfg)
	if err != nil {
		return nil, &CausedError{Class: "org.apache.kafka.common.KafkaException", Message: "Failed to create new KafkaAdminClient", Cause: err}
	}
	return a, nil
}

func newAdmin(cfg Config) (*Admin, error) {
	opts, err := cfg.Options()
	if err != nil {
		return nil, err
	}
	timeout, err := cfg.Timeout()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(timeout))...)
	if err != nil {
		return nil, Wrap(err, "make an admin client")
	}
	return &Admin{Client: client, timeout: timeout}, nil
}

// Close ends the client.
func (a *Admin) Close() { a.Client.Close() }

// Ask sends one request to whichever broker it belongs to, within the client's time. call is Java's name for it, for errors.
func Ask[R kmsg.Response](ctx context.Context, a *Admin, req kmsg.Request, call string) (R, error) {
	return ask[R](ctx, a, call, func(ctx context.Context) (kmsg.Response, error) { return Request(ctx, a.Client, req) })
}

// AskBroker sends one request to one broker; one that the cluster does not know is waited for, as Java's client does.
func AskBroker[R kmsg.Response](ctx context.Context, a *Admin, broker int32, req kmsg.Request, call string) (R, error) {
	return ask[R](ctx, a, call, func(ctx context.Context) (kmsg.Response, error) {
		if err := a.known(ctx, broker); err != nil {
			return nil, err
		}
		return a.Client.Broker(int(broker)).RetriableRequest(ctx, req)
	})
}

func ask[R kmsg.Response](ctx context.Context, a *Admin, call string, send func(context.Context) (kmsg.Response, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	var none R
	resp, err := send(ctx)
	if err != nil {
		return none, Wrap(err, call)
	}
	r, ok := resp.(R)
	if !ok {
		return none, Wrap(fmt.Errorf("unexpected response %T", resp), call)
	}
	return r, nil
}

func (a *Admin) known(ctx context.Context, broker int32) error {
	for {
		resp, err := a.Cluster(ctx)
		if err != nil {
			return err
		}
		for i := range resp.Brokers {
			if resp.Brokers[i].NodeID == broker {
				return nil
			}
		}
		timer := time.NewTimer(reconnectPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Cluster asks for the brokers, and for no topic.
func (a *Admin) Cluster(ctx context.Context) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	return Ask[*kmsg.MetadataResponse](ctx, a, req, "listNodes")
}

// AdminOf asks with a client that is there already; closing it is its owner's.
func AdminOf(client *kgo.Client, cfg Config) (*Admin, error) {
	timeout, err := cfg.Timeout()
	return &Admin{Client: client, timeout: timeout}, err
}
