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
	default: // broker loggers: there are none whose level could be changed
		if q.ResourceName == "" {
			return nil, failure(kerr.InvalidRequest, "Broker id must not be empty")
		}
		return nil, a.ownBroker(q.ResourceName, "")
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
	if documentation && e.Doc != "" {
		c.Documentation = &e.Doc
	}
	return c
}

// change is one resource's part of AlterConfigs or IncrementalAlterConfigs.
type change struct {
	kind kmsg.ConfigResourceType
	name string
	// settings makes the new settings of the topic from the old ones; old is nil for AlterConfigs, which replaces all.
	settings    func(old map[string]string) (map[string]string, *fault)
	keys        []string
	incremental bool
}

func (a *Admin) alterConfigs(ctx context.Context, _ *server.Request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	var whole *fault
	for _, r := range req.Resources {
		if t := resourceTypeName(r.ResourceType); t == "BROKER_LOGGER" {
			whole = failure(kerr.InvalidRequest, "AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER")
		} else if t == "UNKNOWN" {
			whole = failure(kerr.InvalidRequest, "Unexpected resource type UNKNOWN")
		}
	}
	answered := make(map[string]bool)
	for i := len(req.Resources) - 1; i >= 0; i-- { // of a resource named twice the last one counts
		r := &req.Resources[i]
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		f := whole
		if f == nil {
			id := string(rune(r.ResourceType)) + r.ResourceName
			if answered[id] {
				continue
			}
			answered[id] = true
			f = a.alter(ctx, replacement(r), req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = f.get()
		resp.Resources = append(resp.Resources, out)
	}
	slices.Reverse(resp.Resources)
	return resp
}

func replacement(r *kmsg.AlterConfigsRequestResource) change {
	c := change{kind: r.ResourceType, name: r.ResourceName}
	for _, e := range r.Configs {
		c.keys = append(c.keys, e.Name)
	}
	c.settings = func(map[string]string) (map[string]string, *fault) {
		settings := make(map[string]string, len(r.Configs))
		var nulls []string
		for _, e := range r.Configs {
			if e.Value == nil {
				nulls = append(nulls, e.Name)
				continue
			}
			settings[e.Name] = *e.Value
		}
		if len(nulls) > 0 {
			return nil, failure(kerr.InvalidRequest, "Null value not supported for : "+strings.Join(nulls, ","))
		}
		return settings, nil
	}
	return c
}

func (a *Admin) incrementalAlterConfigs(ctx context.Context, _ *server.Request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	var whole *fault
	for _, r := range req.Resources {
		if resourceTypeName(r.ResourceType) == "UNKNOWN" {
			whole = failure(kerr.InvalidRequest, "Unexpected resource type UNKNOWN")
		}
	}
	answered := make(map[string]bool)
	for i := len(req.Resources) - 1; i >= 0; i-- {
		r := &req.Resources[i]
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		f := whole
		if f == nil {
			id := string(rune(r.ResourceType)) + r.ResourceName
			if answered[id] {
				continue
			}
			answered[id] = true
			f = a.alter(ctx, operations(r), req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = f.get()
		resp.Resources = append(resp.Resources, out)
	}
	slices.Reverse(resp.Resources)
	return resp
}

// alter validates a change and carries it out.
func (a *Admin) alter(ctx context.Context, c change, validateOnly bool) *fault {
	if c.kind != kmsg.ConfigResourceTypeTopic {
		return a.alterBroker(c)
	}
	var old map[string]string
	if c.incremental {
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

// alterBroker refuses: a broker's settings cannot be changed while it runs yet. Kafka says the same of keys that are read-only.
func (a *Admin) alterBroker(c change) *fault {
	if _, f := c.settings(map[string]string{}); f != nil {
		return f
	}
	if c.name != "" {
		if f := a.ownBroker(c.name, ","); f != nil {
			return f
		}
	}
	if c.kind == kmsg.ConfigResourceTypeBrokerLogger {
		if len(c.keys) == 0 {
			return nil
		}
		return failure(kerr.InvalidRequest, invalidFor(c, "Logger "+c.keys[0]+" does not exist!"))
	}
	if len(c.keys) == 0 {
		return nil
	}
	return failure(kerr.InvalidRequest, invalidFor(c, "Cannot update these configs dynamically: Set("+strings.Join(c.keys, ", ")+")"))
}

// opNames is IncrementalAlterConfigs' operations in Kafka's messages, by number.
var opNames = []string{"SET", "DELETE", "APPEND", "SUBTRACT"}

func operations(r *kmsg.IncrementalAlterConfigsRequestResource) change {
	c := change{kind: r.ResourceType, name: r.ResourceName, incremental: true}
	for _, e := range r.Configs {
		c.keys = append(c.keys, e.Name)
	}
	c.settings = func(old map[string]string) (map[string]string, *fault) {
		if f := checkOperations(r.Configs); f != nil {
			return nil, f
		}
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
	if kind != kmsg.ConfigResourceTypeTopic {
		return nil
	}
	k, ok := config.LookupTopicKey(name)
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
	if !ok {
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
