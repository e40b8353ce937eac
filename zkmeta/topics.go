package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"gregor/internal/jvm"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Replicas is one partition's assignment: Replicas has all of them, the preferred leader first; Adding and Removing are those that
// a reassignment under way adds or removes.
type Replicas struct {
	Replicas, Adding, Removing []int32
}

// TopicInfo is what /brokers/topics/T holds, and the version of the znode.
type TopicInfo struct {
	Name       string
	Partitions map[int32]Replicas
	Version    int32 // of the znode
	raw        object
}

// Errors about topics.
var (
	ErrTopicExists            = errors.New("the topic exists")
	ErrTopicMarkedForDeletion = errors.New("the topic is marked for deletion")
	ErrUnknownTopic           = errors.New("the topic does not exist")
)

const topicJSONVersion = 2

// EncodeTopic writes /brokers/topics/T; what DecodeTopic did not know is kept.
func EncodeTopic(t TopicInfo) []byte {
	keys := make([]string, 0, len(t.Partitions))
	byKey := make(map[string]Replicas, len(t.Partitions))
	for p, r := range t.Partitions {
		k := strconv.Itoa(int(p))
		keys = append(keys, k)
		byKey[k] = r
	}
	list := func(get func(Replicas) []int32, always bool) []byte {
		var with []string
		for _, k := range keys {
			if always || len(get(byKey[k])) > 0 {
				with = append(with, k)
			}
		}
		jvm.ScalaOrder(with, jvm.StringHash)
		b := []byte{'{'}
		for i, k := range with {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jvm.AppendJSON(b, k), ':')
			b = appendInts(b, get(byKey[k]))
		}
		return append(b, '}')
	}
	version := topicJSONVersion
	if err := t.raw.optional("version", &version); err != nil || version < topicJSONVersion {
		version = topicJSONVersion
	}
	o := object{
		{"version", jsonInt(int64(version))},
		{"partitions", list(func(r Replicas) []int32 { return r.Replicas }, true)},
		{"adding_replicas", list(func(r Replicas) []int32 { return r.Adding }, false)},
		{"removing_replicas", list(func(r Replicas) []int32 { return r.Removing }, false)},
	}
	return o.merged(t.raw).encode()
}

// DecodeTopic reads /brokers/topics/T of any version.
func DecodeTopic(name string, data []byte) (TopicInfo, error) {
	t := TopicInfo{Name: name, Partitions: map[int32]Replicas{}}
	o, err := parseObject(data)
	if err != nil {
		return TopicInfo{}, fmt.Errorf("%s holds %.200q: %w", PathTopic(name), data, err)
	}
	t.raw = o
	var all, adding, removing map[string][]int32
	err = errors.Join(o.optional("partitions", &all), o.optional("adding_replicas", &adding), o.optional("removing_replicas", &removing))
	if err != nil {
		return TopicInfo{}, fmt.Errorf("%s holds %.200q: %w", PathTopic(name), data, err)
	}
	for k, r := range all {
		p, err := strconv.ParseInt(k, 10, 32)
		if err != nil || p < 0 {
			return TopicInfo{}, fmt.Errorf("%s holds %.200q: %q is no partition number", PathTopic(name), data, k)
		}
		t.Partitions[int32(p)] = Replicas{Replicas: r, Adding: adding[k], Removing: removing[k]}
	}
	return t, nil
}

// Topics lists the topics, sorted, those being deleted included.
func (c *Client) Topics(ctx context.Context) ([]string, error) {
	names, _, err := c.Children(ctx, PathTopics)
	sort.Strings(names)
	return names, err
}

// Topic reads one topic's assignment; ErrUnknownTopic when there is none.
func (c *Client) Topic(ctx context.Context, name string) (TopicInfo, error) {
	data, st, err := c.Get(ctx, PathTopic(name))
	if errors.Is(err, ErrNoNode) {
		return TopicInfo{}, fmt.Errorf("topic %s: %w", name, ErrUnknownTopic)
	}
	if err != nil {
		return TopicInfo{}, err
	}
	t, err := DecodeTopic(name, data)
	t.Version = st.Version
	return t, err
}

// TopicExists says whether the topic's znode is there.
func (c *Client) TopicExists(ctx context.Context, name string) (bool, error) {
	ok, _, err := c.Exists(ctx, PathTopic(name))
	return ok, err
}

// TopicAssignment reads the replicas of each partition of a topic.
func (c *Client) TopicAssignment(ctx context.Context, name string) (map[int32][]int32, error) {
	t, err := c.Topic(ctx, name)
	if err != nil {
		return nil, err
	}
	out := make(map[int32][]int32, len(t.Partitions))
	for p, r := range t.Partitions {
		out[p] = r.Replicas
	}
	return out, nil
}

// CreateTopic writes a topic's configuration and assignment, in one step; the controller does the rest. It does not validate. The error
// wraps ErrTopicExists, or ErrTopicMarkedForDeletion where the topic is there and about to go.
func (c *Client) CreateTopic(ctx context.Context, name string, assignment map[int32][]int32, config map[string]string) error {
	t := TopicInfo{Name: name, Partitions: make(map[int32]Replicas, len(assignment))}
	for p, r := range assignment {
		t.Partitions[p] = Replicas{Replicas: r}
	}
	data, cfg := EncodeTopic(t), EncodeConfig(config, nil)
	cfgPath := PathEntityConfig(EntityTopics, name)
	// A topic of this name may have left its configuration behind: then it is set instead of created.
	for write := OpCreate; ; {
		_, err := c.Multi(ctx, []Op{
			{Kind: OpCreate, Path: PathTopic(name), Data: data},
			{Kind: write, Path: cfgPath, Data: cfg, Version: AnyVersion},
		})
		var me *MultiError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &me):
			return fmt.Errorf("create topic %s: %w", name, err)
		case me.Index == 0 && errors.Is(err, ErrNodeExists):
			return c.existing(ctx, name)
		case me.Index == 1 && errors.Is(err, ErrNodeExists):
			write = OpSet
		case me.Index == 1 && errors.Is(err, ErrNoNode) && write == OpSet:
			write = OpCreate
		default:
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
}

func (c *Client) existing(ctx context.Context, name string) error {
	if marked, err := c.TopicMarkedForDeletion(ctx, name); err == nil && marked {
		return fmt.Errorf("create topic %s: %w", name, ErrTopicMarkedForDeletion)
	}
	return fmt.Errorf("create topic %s: %w", name, ErrTopicExists)
}

// DeleteTopic asks the controller to delete a topic.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	ok, err := c.TopicExists(ctx, name)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	if !ok {
		return fmt.Errorf("delete topic %s: %w", name, ErrUnknownTopic)
	}
	err = c.Create(ctx, PathDeleteTopic(name), nil)
	if errors.Is(err, ErrNodeExists) {
		return fmt.Errorf("delete topic %s: %w", name, ErrTopicMarkedForDeletion)
	}
	return err
}

// TopicMarkedForDeletion says whether a deletion of the topic has been asked for and not been done yet.
func (c *Client) TopicMarkedForDeletion(ctx context.Context, name string) (bool, error) {
	ok, _, err := c.Exists(ctx, PathDeleteTopic(name))
	return ok, err
}

// TopicsMarkedForDeletion lists the topics whose deletion has been asked for and not been done yet, sorted.
func (c *Client) TopicsMarkedForDeletion(ctx context.Context) ([]string, error) {
	names, _, err := c.Children(ctx, PathDeleteTopics)
	sort.Strings(names)
	return names, err
}

// AddPartitions writes a topic's assignment with more partitions: full has all of them, those that are there already are left as
// they stand. It does not validate.
func (c *Client) AddPartitions(ctx context.Context, name string, full map[int32][]int32) error {
	for {
		t, err := c.Topic(ctx, name)
		if err != nil {
			return fmt.Errorf("add partitions: %w", err)
		}
		for p, r := range full {
			if _, ok := t.Partitions[p]; !ok {
				t.Partitions[p] = Replicas{Replicas: r}
			}
		}
		_, err = c.Set(ctx, PathTopic(name), EncodeTopic(t), t.Version)
		if !errors.Is(err, ErrBadVersion) {
			return err
		}
	}
}
