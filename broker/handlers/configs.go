package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/broker/server"
	"gregor/internal/jvm"
	"gregor/internal/topicrules"
)

func (a *Admin) describeConfigs(ctx context.Context, r *server.Request, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	resp.Resources = make([]kmsg.DescribeConfigsResponseResource, len(req.Resources))
	// One resource of a type that cannot be described fails the whole request, with the code's own message.
	whole := slices.ContainsFunc(req.Resources, func(q kmsg.DescribeConfigsRequestResource) bool { return resourceTypeName(q.ResourceType) == "UNKNOWN" })
	for i := range req.Resources {
		q, out := &req.Resources[i], &resp.Resources[i]
		*out = kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = q.ResourceType, q.ResourceName
		if whole {
			message := invalidRequestMessage
			out.ErrorCode, out.ErrorMessage = kerr.InvalidRequest.Code, &message
			continue
		}
		entries, f := a.describeResource(ctx, q)
		out.ErrorCode, out.ErrorMessage = f.get()
		if out.ErrorMessage == nil { // here Kafka's absent message is an empty one
			out.ErrorMessage = new(string)
		}
		// Clients that keep entries in a hash table show those of one bucket in the order of the answer.
		jvm.ScalaOrder(entries, func(e config.Entry) int32 { return jvm.StringHash(e.Name) })
		for _, e := range entries {
			if len(q.ConfigNames) == 0 || slices.Contains(q.ConfigNames, e.Name) {
				out.Configs = append(out.Configs, describedEntry(&e, r.Version, req.IncludeSynonyms, req.IncludeDocumentation))
			}
		}
	}
	return resp
}

const invalidRequestMessage = "This most likely occurs because of a request being malformed by the client library or the message was sent to an " +
	"incompatible broker. See the broker logs for more details."

// resourceTypeName is the type's name in Kafka's messages; topics, brokers and broker loggers have configurations.
func resourceTypeName(t kmsg.ConfigResourceType) string {
	switch t {
	case kmsg.ConfigResourceTypeTopic:
		return "TOPIC"
	case kmsg.ConfigResourceTypeBroker:
		return "BROKER"
	case kmsg.ConfigResourceTypeBrokerLogger:
		return "BROKER_LOGGER"
	default:
		return "UNKNOWN"
	}
}

func (a *Admin) describeResource(ctx context.Context, q *kmsg.DescribeConfigsRequestResource) ([]config.Entry, *fault) {
	cfg := a.Config()
	switch q.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := topicrules.ValidateName(q.ResourceName); err != nil {
			return nil, failure(kerr.InvalidTopicException, err.Error())
		}
		if !a.Metadata.Contains(q.ResourceName) {
			return nil, failure(kerr.UnknownTopicOrPartition, "")
		}
		settings, err := a.ZK.TopicConfig(ctx, q.ResourceName)
		if err != nil {
			return nil, a.unexpected("reading the settings of topic", q.ResourceName, err)
		}
		return cfg.DescribeTopic(settings), nil
	case kmsg.ConfigResourceTypeBroker:
		if q.ResourceName == "" {
			return cfg.DescribeDefault(), nil
		}
		if f := a.ownBroker(q.ResourceName, " or empty string,"); f != nil {
			return nil, f
		}
		return cfg.Describe(), nil
	default:
		if q.ResourceName == "" {
			return nil, failure(kerr.InvalidRequest, "Broker id must not be empty")
		}
		if f := a.ownBroker(q.ResourceName, ""); f != nil {
			return nil, f
		}
		return a.describeLoggers(), nil
	}
}

// ownBroker checks that a broker resource is this broker.
func (a *Admin) ownBroker(name, alternative string) *fault {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return failure(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
	}
	if own := a.Config().ID; int32(id) != own {
		return failure(kerr.InvalidRequest, fmt.Sprintf("Unexpected broker id, expected %d%s but received %s", own, alternative, name))
	}
	return nil
}

func describedEntry(e *config.Entry, version int16, synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	c.Source, c.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	if synonyms && version >= 1 {
		for _, s := range e.Synonyms {
			c.ConfigSynonyms = append(c.ConfigSynonyms, kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{
				Name: s.Name, Value: s.Value, Source: kmsg.ConfigSource(s.Source),
			})
		}
	}
	if documentation && e.Doc != "" || e.Source == config.SourceLogger { // Kafka leaves that of loggers at its default, the empty text
		c.Documentation = &e.Doc
	}
	return c
}

// resource is what a change of settings is about.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// change is one resource's part of AlterConfigs or IncrementalAlterConfigs.
type change struct {
	resource
	// check says what is wrong with the request by itself.
	check func() *fault
	// settings makes the new settings from the old ones; AlterConfigs, which replaces all, does not look at them.
	settings    func(old map[string]string) (map[string]string, *fault)
	keys        []string
	incremental bool
	// operations are those of IncrementalAlterConfigs.
	operations []kmsg.IncrementalAlterConfigsRequestResourceConfig
}

// lastMentions keeps the resources that count: of one that is named twice the last.
func lastMentions[R any](resources []R, id func(*R) resource) []*R {
	last := make(map[resource]int, len(resources))
	for i := range resources {
		last[id(&resources[i])] = i
	}
	out := make([]*R, 0, len(last))
	for i := range resources {
		if last[id(&resources[i])] == i {
			out = append(out, &resources[i])
		}
	}
	return out
}

func (a *Admin) alterConfigs(ctx context.Context, _ *server.Request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	answer := func(r *kmsg.AlterConfigsRequestResource, f *fault) {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = f.get()
		resp.Resources = append(resp.Resources, out)
	}
	var whole *fault
	for _, r := range req.Resources {
		if t := resourceTypeName(r.ResourceType); t == "BROKER_LOGGER" {
			whole = failure(kerr.InvalidRequest, "AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER")
		} else if t == "UNKNOWN" {
			whole = failure(kerr.InvalidRequest, "Unexpected resource type UNKNOWN")
		}
	}
	if whole != nil {
		for i := range req.Resources {
			answer(&req.Resources[i], whole)
		}
		return resp
	}
	for _, r := range lastMentions(req.Resources, func(r *kmsg.AlterConfigsRequestResource) resource { return resource{r.ResourceType, r.ResourceName} }) {
		answer(r, a.alter(ctx, replacement(r), req.ValidateOnly))
	}
	return resp
}

func replacement(r *kmsg.AlterConfigsRequestResource) change {
	c := change{resource: resource{r.ResourceType, r.ResourceName}}
	settings := make(map[string]string, len(r.Configs))
	var nulls []string
	for _, e := range r.Configs {
		c.keys = append(c.keys, e.Name)
		if e.Value == nil {
			nulls = append(nulls, e.Name)
			continue
		}
		settings[e.Name] = *e.Value
	}
	c.check = func() *fault {
		if len(nulls) > 0 {
			return failure(kerr.InvalidRequest, "Null value not supported for : "+strings.Join(nulls, ","))
		}
		return nil
	}
	c.settings = func(map[string]string) (map[string]string, *fault) { return settings, nil }
	return c
}

func (a *Admin) incrementalAlterConfigs(ctx context.Context, _ *server.Request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	answer := func(r *kmsg.IncrementalAlterConfigsRequestResource, f *fault) {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorCode, out.ErrorMessage = f.get()
		resp.Resources = append(resp.Resources, out)
	}
	if slices.ContainsFunc(req.Resources, func(r kmsg.IncrementalAlterConfigsRequestResource) bool {
		return resourceTypeName(r.ResourceType) == "UNKNOWN"
	}) {
		for i := range req.Resources {
			answer(&req.Resources[i], failure(kerr.InvalidRequest, "Unexpected resource type UNKNOWN"))
		}
		return resp
	}
	for _, r := range lastMentions(req.Resources, func(r *kmsg.IncrementalAlterConfigsRequestResource) resource {
		return resource{r.ResourceType, r.ResourceName}
	}) {
		answer(r, a.alter(ctx, operations(r), req.ValidateOnly))
	}
	return resp
}

// alter validates a change and carries it out.
func (a *Admin) alter(ctx context.Context, c change, validateOnly bool) *fault {
	if f := c.check(); f != nil {
		return f
	}
	switch c.kind {
	case kmsg.ConfigResourceTypeBroker:
		return a.alterBroker(ctx, c, validateOnly)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return a.alterLoggers(c, validateOnly)
	default:
		return a.alterTopic(ctx, c, validateOnly)
	}
}

func (a *Admin) alterTopic(ctx context.Context, c change, validateOnly bool) *fault {
	var old map[string]string
	if c.incremental {
		if c.name == "" {
			return failure(kerr.InvalidRequest, invalidFor(c, "Path must not end with / character"))
		}
		var err error
		if old, err = a.ZK.TopicConfig(ctx, c.name); err != nil {
			return a.unexpected("reading the settings of topic", c.name, err)
		}
	}
	settings, f := c.settings(old)
	if f != nil {
		return f
	}
	if !a.Metadata.Contains(c.name) {
		return failure(kerr.UnknownTopicOrPartition, "The topic '"+c.name+"' does not exist.")
	}
	if err := config.ValidateTopic(settings); err != nil {
		var ce *config.Error
		if errors.As(err, &ce) && ce.Structural() {
			return failure(kerr.InvalidConfig, err.Error())
		}
		return failure(kerr.InvalidRequest, invalidFor(c, err.Error()))
	}
	if validateOnly {
		return nil
	}
	a.Log.Infof("Updating topic %s with new configuration %v", c.name, slices.Sorted(maps.Keys(settings)))
	if err := a.ZK.SetTopicConfig(ctx, c.name, settings); err != nil {
		return a.unexpected("writing the settings of topic", c.name, err)
	}
	return nil
}

func invalidFor(c change, text string) string {
	return "Invalid config value for resource ConfigResource(type=" + resourceTypeName(c.kind) + ", name='" + c.name + "'): " + text
}

// opNames is IncrementalAlterConfigs' operations in Kafka's messages, by number.
var opNames = []string{"SET", "DELETE", "APPEND", "SUBTRACT"}

func operations(r *kmsg.IncrementalAlterConfigsRequestResource) change {
	c := change{resource: resource{r.ResourceType, r.ResourceName}, incremental: true, operations: r.Configs}
	for _, e := range r.Configs {
		c.keys = append(c.keys, e.Name)
	}
	c.check = func() *fault { return checkOperations(r.Configs) }
	c.settings = func(old map[string]string) (map[string]string, *fault) {
		settings := maps.Clone(old)
		for _, e := range r.Configs {
			switch e.Op {
			case kmsg.IncrementalAlterConfigOpSet:
				settings[e.Name] = *e.Value
			case kmsg.IncrementalAlterConfigOpDelete:
				delete(settings, e.Name)
			case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
				if f := alterList(settings, e.Name, *e.Value, e.Op == kmsg.IncrementalAlterConfigOpAppend, r.ResourceType); f != nil {
					return nil, f
				}
			}
		}
		return settings, nil
	}
	return c
}

func checkOperations(ops []kmsg.IncrementalAlterConfigsRequestResourceConfig) *fault {
	count := make(map[string]int, len(ops))
	var doubles, nulls []string
	for _, e := range ops {
		if count[e.Name]++; count[e.Name] == 2 {
			doubles = append(doubles, e.Name)
		}
		if e.Op < 0 || int(e.Op) >= len(opNames) {
			return failure(kerr.InvalidRequest, fmt.Sprintf("Unknown operation %d for config key: %s", e.Op, e.Name))
		}
		if e.Value == nil && e.Op != kmsg.IncrementalAlterConfigOpDelete {
			nulls = append(nulls, opNames[e.Op]+":"+e.Name)
		}
	}
	if len(doubles) > 0 {
		return failure(kerr.InvalidRequest, "Error due to duplicate config keys : "+strings.Join(doubles, ","))
	}
	if len(nulls) > 0 {
		return failure(kerr.InvalidRequest, "Null value not supported for : "+strings.Join(nulls, ","))
	}
	return nil
}

// alterList appends to or takes from a key that is a list; what is not set begins with the key's default.
func alterList(settings map[string]string, name, value string, add bool, kind kmsg.ConfigResourceType) *fault {
	k, ok := listKey(name, kind)
	if !ok {
		return failure(kerr.InvalidConfig, "Unknown topic config name: "+name)
	}
	verb := "subtract"
	if add {
		verb = "append"
	}
	if k.Type != config.List {
		return failure(kerr.InvalidRequest, "Config value "+verb+" is not allowed for config key: "+name)
	}
	current, ok := settings[name]
	if !ok && k.HasDefault() {
		current = k.Default
	}
	list, values := strings.Split(current, ","), strings.Split(value, ",")
	if add {
		list = append(list, values...)
	} else {
		for _, v := range values {
			if i := slices.Index(list, v); i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
		}
	}
	settings[name] = strings.Join(list, ",")
	return nil
}

func listKey(name string, kind kmsg.ConfigResourceType) (*config.Key, bool) {
	if kind == kmsg.ConfigResourceTypeTopic {
		if k, ok := config.LookupTopicKey(name); ok {
			return &k.Key, true
		}
		return nil, false
	}
	k, ok := config.LookupKey(name)
	return k, ok && k.Name == name
}
