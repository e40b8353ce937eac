package configs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/internal/topicrules"
	"gregor/tools/internal/kclient"
)

// adminMode reaches the cluster through its brokers.
type adminMode struct {
	*command
	client *kclient.Admin
	out    *bufio.Writer
}

// entry is a described setting.
type entry struct {
	name, value string
	null        bool
	source      kmsg.ConfigSource
	sensitive   bool
	synonyms    []string
}

// describeLimit is how long the command waits for a description.
const describeLimit = 30 * time.Second

// ask sends a request to a broker, or with an id of -1 to any.
func ask[R kmsg.Response](ctx context.Context, a *adminMode, broker int32, req kmsg.Request, call string) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	var resp R
	var err error
	if broker >= 0 {
		resp, err = kclient.AskBroker[R](ctx, a.client, broker, req, call)
	} else {
		resp, err = kclient.Ask[R](ctx, a.client, req, call)
	}
	if ctx.Err() != nil && err != nil {
		return resp, errors.New("java.util.concurrent.TimeoutException")
	}
	return resp, kclient.Executed(err)
}

// resourceOf is a resource and the broker to ask about it, -1 for any.
func resourceOf(kind, name string) (t kmsg.ConfigResourceType, broker int32, err error) {
	id := func() (int32, error) {
		n, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return 0, refuse("The entity name for %s must be a valid integer broker id, found: %s", kind, name)
		}
		return int32(n), nil
	}
	broker = -1
	switch kind {
	case topics:
		t = kmsg.ConfigResourceTypeTopic
		if err := topicrules.ValidateName(name); err != nil && name != "" {
			return t, broker, &kclient.APIError{Class: "org.apache.kafka.common.errors.InvalidTopicException", Message: err.Error()}
		}
	case loggers:
		t = kmsg.ConfigResourceTypeBrokerLogger
	default:
		t = kmsg.ConfigResourceTypeBroker
	}
	if t != kmsg.ConfigResourceTypeTopic && name != "" {
		broker, err = id()
	}
	return t, broker, err
}

// dynamicSource is where settings stand that are made for the entity itself.
func dynamicSource(kind, name string) kmsg.ConfigSource {
	switch {
	case kind == topics:
		return kmsg.ConfigSourceDynamicTopicConfig
	case kind == brokers && name == "":
		return kmsg.ConfigSourceDynamicDefaultBrokerConfig
	case kind == brokers:
		return kmsg.ConfigSourceDynamicBrokerConfig
	}
	return 0
}

// read describes an entity, in the order in which Java's client lists its entries.
func (a *adminMode) read(ctx context.Context, kind, name string, synonyms, all bool) ([]entry, error) {
	t, broker, err := resourceOf(kind, name)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = synonyms
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: t, ResourceName: name}}
	resp, err := ask[*kmsg.DescribeConfigsResponse](ctx, a, broker, req, "describeConfigs")
	if err != nil {
		return nil, err
	}
	if len(resp.Resources) != 1 {
		return nil, kclient.Executed(fmt.Errorf("%d resources were described, 1 was asked for", len(resp.Resources)))
	}
	r := &resp.Resources[0]
	if err := kclient.Error(r.ErrorCode, r.ErrorMessage); err != nil {
		var api *kclient.APIError
		if errors.As(err, &api) && r.ErrorMessage != nil {
			api.Message, api.Empty = *r.ErrorMessage, true // the one answer whose empty message counts
		}
		return nil, kclient.Executed(err)
	}
	entries := make(map[string]entry, len(r.Configs))
	names := make([]string, len(r.Configs))
	for i := range r.Configs {
		c := &r.Configs[i]
		e := entry{name: c.Name, source: c.Source, sensitive: c.IsSensitive, null: c.Value == nil, value: text(c.Value)}
		for _, s := range c.ConfigSynonyms {
			e.synonyms = append(e.synonyms, s.Source.String()+":"+s.Name+"="+text(s.Value))
		}
		entries[c.Name], names[i] = e, c.Name
	}
	var out []entry
	wanted := dynamicSource(kind, name)
	for _, n := range kclient.HashOrder(names, 0) {
		if e := entries[n]; all || wanted == 0 || e.source == wanted {
			out = append(out, e)
		}
	}
	return out, nil
}

func text(v *string) string {
	if v == nil {
		return "null"
	}
	return *v
}

func (a *adminMode) describe(ctx context.Context) error {
	kind := a.types[0]
	if kind == users || kind == clients {
		return a.describeQuotas(ctx)
	}
	names := a.names
	if len(names) > 1 {
		names = names[:1]
	}
	if len(names) == 0 {
		var err error
		if names, err = a.list(ctx, kind); err != nil {
			return err
		}
	}
	for _, name := range names {
		switch {
		case name == "":
			fmt.Fprintf(a.out, "Default configs for %s in the cluster are:\n", kind)
		case a.has("all"):
			fmt.Fprintf(a.out, "All configs for %s %s are:\n", kind[:len(kind)-1], name)
		default:
			fmt.Fprintf(a.out, "Dynamic configs for %s %s are:\n", kind[:len(kind)-1], name)
		}
		entries, err := a.read(ctx, kind, name, true, a.has("all"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Fprintf(a.out, "  %s=%s sensitive=%t synonyms={%s}\n", e.name, e.value, e.sensitive, strings.Join(e.synonyms, ", "))
		}
	}
	return nil
}

// list names all topics, or all brokers and their default.
func (a *adminMode) list(ctx context.Context, kind string) ([]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	if kind != topics {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	resp, err := ask[*kmsg.MetadataResponse](ctx, a, -1, req, "listTopics")
	if err != nil {
		return nil, err
	}
	var names []string
	if kind == topics {
		for i := range resp.Topics {
			if resp.Topics[i].Topic != nil {
				names = append(names, *resp.Topics[i].Topic)
			}
		}
		return kclient.HashOrder(names, 0), nil
	}
	var ids []int32
	for i := range resp.Brokers {
		ids = append(ids, resp.Brokers[i].NodeID)
	}
	slices.Sort(ids)
	for _, id := range ids {
		names = append(names, strconv.Itoa(int(id)))
	}
	return append(names, ""), nil
}

func (a *adminMode) alter(ctx context.Context) error {
	add, err := a.additions(a.out)
	if err != nil {
		return err
	}
	del := a.deletions()
	kind, name := a.types[0], a.names[0]
	switch kind {
	case topics, loggers:
		err = a.alterByOperations(ctx, kind, name, add, del)
	case brokers:
		err = a.alterBroker(ctx, name, add, del)
	default:
		err = a.alterQuotas(ctx, add, del)
	}
	if err != nil {
		return err
	}
	if name != "" {
		fmt.Fprintf(a.out, "Completed updating config for %s %s.\n", kind[:len(kind)-1], name)
	} else {
		fmt.Fprintf(a.out, "Completed updating default config for %s in the cluster.\n", kind)
	}
	return nil
}

func (a *adminMode) alterByOperations(ctx context.Context, kind, name string, add map[string]string, del []string) error {
	old, err := a.values(ctx, kind, name)
	if err != nil {
		return err
	}
	if kind == topics {
		err = missing(del, old)
	} else {
		var unknown []string
		for _, l := range append(slices.Clone(del), javaOrder(add)...) {
			if _, ok := old[l]; !ok {
				unknown = append(unknown, l)
			}
		}
		if unknown != nil {
			err = refuse("Invalid broker logger(s): %s", strings.Join(unknown, ","))
		}
	}
	if err != nil {
		return err
	}
	t, broker, err := resourceOf(kind, name)
	if err != nil {
		return err
	}
	r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: t, ResourceName: name}
	for _, k := range javaOrder(add) {
		v := add[k]
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Op: kmsg.IncrementalAlterConfigOpSet, Value: &v})
	}
	for _, k := range del {
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Op: kmsg.IncrementalAlterConfigOpDelete, Value: new(string)})
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := ask[*kmsg.IncrementalAlterConfigsResponse](ctx, a, broker, req, "incrementalAlterConfigs")
	if err != nil {
		return err
	}
	for i := range resp.Resources {
		if err := kclient.Error(resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage); err != nil {
			return kclient.Executed(err)
		}
	}
	return nil
}

func (a *adminMode) values(ctx context.Context, kind, name string) (map[string]string, error) {
	entries, err := a.read(ctx, kind, name, false, false)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(entries))
	for _, e := range entries {
		out[e.name] = e.value
	}
	return out, nil
}

// alterBroker replaces all settings of a broker: what stands there is read, changed and written back, so passwords, which cannot be read,
// have to be given again.
func (a *adminMode) alterBroker(ctx context.Context, name string, add map[string]string, del []string) error {
	entries, err := a.read(ctx, brokers, name, false, false)
	if err != nil {
		return err
	}
	settings, hidden := map[string]string{}, map[string]string{}
	for _, e := range entries {
		settings[e.name] = e.value
		if e.null {
			hidden[e.name] = ""
		}
	}
	if err := missing(del, settings); err != nil {
		return err
	}
	for k, v := range add {
		settings[k] = v
		delete(hidden, k)
	}
	for _, k := range del {
		delete(settings, k)
		delete(hidden, k)
	}
	if len(hidden) > 0 {
		return refuse("All sensitive broker config entries must be specified for --alter, missing entries: %s", scalaSet(javaOrder(hidden)))
	}
	_, broker, err := resourceOf(brokers, name)
	if err != nil {
		return err
	}
	r := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name}
	for _, k := range javaOrder(settings) {
		v := settings[k]
		r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: k, Value: &v})
	}
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := ask[*kmsg.AlterConfigsResponse](ctx, a, broker, req, "alterConfigs")
	if err != nil {
		return err
	}
	for i := range resp.Resources {
		if err := kclient.Error(resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage); err != nil {
			return kclient.Executed(err)
		}
	}
	return nil
}

// scalaSet is how Scala prints a set of names.
func scalaSet(names []string) string {
	kind := "Set"
	if len(names) > 4 {
		kind = "HashSet"
	}
	return kind + "(" + strings.Join(names, ", ") + ")"
}

// unsupported turns the failure of a request that the broker does not know into what Java's client says of it.
func unsupported(err error, api string) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if m := err.Error(); strings.Contains(m, "broker is too old") || strings.Contains(m, "request key is unknown") {
		return kclient.Executed(&kclient.APIError{Class: "org.apache.kafka.common.errors.UnsupportedVersionException", Message: "The broker does not support " + api})
	}
	return err
}
