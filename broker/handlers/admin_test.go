package handlers

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/storage"
)

func at(version int16) *server.Request {
	return &server.Request{Version: version, Listener: "PLAINTEXT"}
}

func topicToCreate(name string, partitions int32, rf int16, settings ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, rf
	for i := 0; i+1 < len(settings); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	return t
}

func createAll(a *Admin, timeout int32, validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) []kmsg.CreateTopicsResponseTopic {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly, req.Topics = 6, timeout, validateOnly, topics
	return a.createTopics(context.Background(), at(6), req).(*kmsg.CreateTopicsResponse).Topics
}

func TestCreatedTopicsAreLedWhenTheAnswerComes(t *testing.T) {
	a, _ := fakeAdmin(t, "num.partitions", "3")
	got := createAll(a, 60_000, false, topicToCreate("a", 2, 1, "retention.ms", " 5 "), topicToCreate("b", -1, -1))
	for i, want := range []int32{2, 3} {
		if got[i].ErrorCode != 0 || got[i].NumPartitions != want || got[i].ReplicationFactor != 1 || !a.Metadata.AllLed(got[i].Topic, int(want)) {
			t.Errorf("%+v", got[i])
		}
	}
	i := slices.IndexFunc(got[0].Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == "retention.ms" })
	if c := got[0].Configs[i]; *c.Value != "5" || c.Source != 1 || len(got[0].Configs) != 26 {
		t.Errorf("%d entries, retention.ms: %+v", len(got[0].Configs), c)
	}
}

func TestValidationAloneMakesNothing(t *testing.T) {
	a, f := fakeAdmin(t)
	if got := createAll(a, 0, true, topicToCreate("a", 7, 1)); got[0].ErrorCode != 0 || got[0].NumPartitions != 7 {
		t.Errorf("%+v", got[0])
	}
	if len(f.topics) != 0 {
		t.Errorf("made %v", f.topics)
	}
}

func TestTimeIsUpWhenTheControllerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := fakeAdmin(t)
		createAll(a, 1000, false, topicToCreate("old", 1, 1))
		f.frozen = true
		began := time.Now()
		got := createAll(a, 7000, false, topicToCreate("a", 1, 1), topicToCreate("old", 1, 1))
		if got[0].ErrorCode != kerr.RequestTimedOut.Code || got[0].NumPartitions != -1 || len(got[0].Configs) != 0 || time.Since(began) != 7*time.Second {
			t.Errorf("%+v after %v", got[0], time.Since(began))
		}
		if got[1].ErrorCode != kerr.TopicAlreadyExists.Code {
			t.Errorf("%+v", got[1])
		}
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TimeoutMillis, del.TopicNames = 3000, []string{"old", "no"}
		for range 2 { // a deletion that is under way already is waited for as well
			resp := a.deleteTopics(context.Background(), at(5), del).(*kmsg.DeleteTopicsResponse)
			if resp.Topics[0].ErrorCode != kerr.RequestTimedOut.Code || resp.Topics[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("%+v", resp.Topics)
			}
		}
	})
}

func TestNoTimeAnswersTimedOutThoughTheTopicIsMade(t *testing.T) {
	a, f := fakeAdmin(t)
	if got := createAll(a, 0, false, topicToCreate("a", 1, 1)); got[0].ErrorCode != kerr.RequestTimedOut.Code {
		t.Errorf("%+v", got[0])
	}
	if _, ok := f.topics["a"]; !ok {
		t.Error("the topic is not there")
	}
}

// Topics of one request are made side by side, those whose names collide in the order of the request.
func TestTopicsOfOneRequestCollide(t *testing.T) {
	a, f := fakeAdmin(t)
	createAll(a, 1000, false, topicToCreate("there.before", 1, 1))
	var many []kmsg.CreateTopicsRequestTopic
	for i := range 300 {
		many = append(many, topicToCreate(fmt.Sprintf("t.%d", i), 1, 1))
	}
	many = append(many, topicToCreate("a.b_c", 1, 1), topicToCreate("a_b.c", 1, 1), topicToCreate("there_before", 1, 1))
	for i, got := range createAll(a, 1000, false, many...) {
		want := int16(0)
		if i > 300 {
			want = kerr.InvalidTopicException.Code
		}
		if got.ErrorCode != want || got.Topic != many[i].Topic {
			t.Errorf("%s: error %d, want %d", many[i].Topic, got.ErrorCode, want)
		}
	}
	if len(f.topics) != 302 {
		t.Errorf("%d topics", len(f.topics))
	}
}

func TestStoppingEndsTheWait(t *testing.T) {
	a, f := fakeAdmin(t)
	f.frozen = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = math.MaxInt32, []kmsg.CreateTopicsRequestTopic{topicToCreate("a", 1, 1)}
	if got := a.createTopics(ctx, at(6), req).(*kmsg.CreateTopicsResponse).Topics; got[0].ErrorCode != kerr.RequestTimedOut.Code {
		t.Errorf("%+v", got[0])
	}
}

func TestOnlyTheControllerChangesTopics(t *testing.T) {
	a, f := fakeAdmin(t)
	createAll(a, 1000, false, topicToCreate("a", 1, 1))
	a.IsController = func() bool { return false }
	if got := createAll(a, 1000, false, topicToCreate("b", 1, 1), topicToCreate("b", 1, 1)); got[0].ErrorCode != kerr.NotController.Code || got[1].ErrorCode != kerr.NotController.Code {
		t.Errorf("create: %+v", got)
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{"a"}
	if got := a.deleteTopics(context.Background(), at(5), del).(*kmsg.DeleteTopicsResponse).Topics; got[0].ErrorCode != kerr.NotController.Code {
		t.Errorf("delete: %+v", got)
	}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 5}}
	if got := a.createPartitions(context.Background(), at(3), grow).(*kmsg.CreatePartitionsResponse).Topics; got[0].ErrorCode != kerr.NotController.Code {
		t.Errorf("grow: %+v", got)
	}
	if len(f.topics) != 1 || len(f.topics["a"].Partitions) != 1 {
		t.Errorf("%v", f.topics)
	}
}

func TestDeletionCanBeDisabled(t *testing.T) {
	a, _ := fakeAdmin(t, "delete.topic.enable", "false")
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{"a"}
	for version, want := range map[int16]int16{2: kerr.InvalidRequest.Code, 3: kerr.TopicDeletionDisabled.Code} {
		if got := a.deleteTopics(context.Background(), at(version), del).(*kmsg.DeleteTopicsResponse).Topics; got[0].ErrorCode != want {
			t.Errorf("v%d: %+v", version, got)
		}
	}
}

func TestPartitionsAreAdded(t *testing.T) {
	a, f := fakeAdmin(t)
	createAll(a, 60_000, false, topicToCreate("a", 1, 1))
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis, req.Topics = 60_000, []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 4}}
	got := a.createPartitions(context.Background(), at(3), req).(*kmsg.CreatePartitionsResponse).Topics
	if got[0].ErrorCode != 0 || a.Metadata.PartitionCount("a") != 4 || !slices.Equal(f.topics["a"].Partitions[3].Replicas, []int32{1}) {
		t.Errorf("%+v, %d partitions", got, a.Metadata.PartitionCount("a"))
	}
	f.marked["a"] = true
	got = a.createPartitions(context.Background(), at(3), req).(*kmsg.CreatePartitionsResponse).Topics
	if got[0].ErrorCode != kerr.InvalidTopicException.Code || *got[0].ErrorMessage != "The topic is queued for deletion." {
		t.Errorf("%+v", got[0])
	}
}

func TestAbsurdPartitionCountsCostNothing(t *testing.T) {
	a, _ := fakeAdmin(t)
	if got := createAll(a, 0, false, topicToCreate("a", math.MaxInt32, 1)); got[0].ErrorCode != kerr.InvalidPartitions.Code {
		t.Errorf("%+v", got[0])
	}
	createAll(a, 60_000, false, topicToCreate("b", 1, 1))
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis, req.Topics = 1000, []kmsg.CreatePartitionsRequestTopic{{Topic: "b", Count: math.MaxInt32}}
	if got := a.createPartitions(context.Background(), at(3), req).(*kmsg.CreatePartitionsResponse).Topics; got[0].ErrorCode != kerr.InvalidPartitions.Code {
		t.Errorf("%+v", got[0])
	}
}

func ask(a *Admin, version int16, auto bool, names ...string) *kmsg.MetadataResponse {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = version, auto
	for i := range names {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &names[i]})
	}
	return a.metadata(context.Background(), at(version), req).(*kmsg.MetadataResponse)
}

func TestTopicsAreCreatedOnDemand(t *testing.T) {
	a, f := fakeAdmin(t, "num.partitions", "2")
	for _, c := range []struct {
		version int16
		auto    bool
		name    string
		want    int16
	}{
		{4, false, "a", kerr.UnknownTopicOrPartition.Code},
		{4, true, "a", kerr.LeaderNotAvailable.Code},
		{0, false, "old", kerr.LeaderNotAvailable.Code}, // before version 4 there is no flag, and topics are created
		{9, true, "a b", kerr.InvalidTopicException.Code},
		{9, true, "__consumer_offsets", kerr.LeaderNotAvailable.Code},
		{9, true, "__transaction_state", kerr.InvalidReplicationFactor.Code}, // its replication factor is 3 and there is one broker
	} {
		if got := ask(a, c.version, c.auto, c.name).Topics[0]; got.ErrorCode != c.want {
			t.Errorf("v%d %s: %+v, want %d", c.version, c.name, got, c.want)
		}
	}
	f.done.Wait()
	if got := ask(a, 9, true, "a", "a"); len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 2 || got.Topics[0].Partitions[0].Leader != 1 {
		t.Errorf("%+v", got.Topics)
	}
	if s := f.config["__consumer_offsets"]; s["cleanup.policy"] != "compact" || len(f.topics["__consumer_offsets"].Partitions) != 50 {
		t.Errorf("offsets topic: %v", s)
	}
	off, _ := fakeAdmin(t, "auto.create.topics.enable", "false")
	if got := ask(off, 9, true, "a").Topics[0]; got.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("switched off: %+v", got)
	}
}

func TestDescribedSettingsShowWhereTheyComeFrom(t *testing.T) {
	a, _ := fakeAdmin(t, "log.segment.bytes", "1000000")
	createAll(a, 60_000, false, topicToCreate("a", 1, 1, "segment.bytes", "2000000"))
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a", ConfigNames: []string{"segment.bytes"}}}
	got := a.describeConfigs(context.Background(), at(3), req).(*kmsg.DescribeConfigsResponse).Resources[0]
	c := got.Configs[0]
	var synonyms []string
	for _, s := range c.ConfigSynonyms {
		synonyms = append(synonyms, s.Name+"="+*s.Value+"/"+s.Source.String())
	}
	want := "segment.bytes=2000000/DYNAMIC_TOPIC_CONFIG log.segment.bytes=1000000/STATIC_BROKER_CONFIG log.segment.bytes=1073741824/DEFAULT_CONFIG"
	if len(got.Configs) != 1 || strings.Join(synonyms, " ") != want || c.Source != kmsg.ConfigSourceDynamicTopicConfig || c.ConfigType != kmsg.ConfigTypeInt || c.Documentation == nil {
		t.Errorf("%+v\n%v", c, synonyms)
	}
}

func TestChangedSettingsReachTheLogs(t *testing.T) {
	a, f := fakeAdmin(t)
	createAll(a, 60_000, false, topicToCreate("a", 1, 1, "retention.ms", "5", "cleanup.policy", "delete"))
	var applied storage.Config
	f.notify = func(path string) {
		settings, _ := a.Config().Topic(f.config[strings.TrimPrefix(path, "topics/")])
		applied = settings.Storage()
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	value := func(s string) *string { return &s }
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{
			{Name: "retention.ms", Op: kmsg.IncrementalAlterConfigOpSet, Value: value("777")},
			{Name: "cleanup.policy", Op: kmsg.IncrementalAlterConfigOpAppend, Value: value("compact")},
			{Name: "segment.ms", Op: kmsg.IncrementalAlterConfigOpDelete},
		}}}
	got := a.incrementalAlterConfigs(context.Background(), at(1), req).(*kmsg.IncrementalAlterConfigsResponse).Resources
	if got[0].ErrorCode != 0 || applied.RetentionMs != 777 || !applied.Compact || !applied.Delete {
		t.Errorf("%+v; logs have %+v", got, applied)
	}
	f.config["a"]["retention.ms"] = "garbage" // as a hand may write it into ZooKeeper
	f.notify("topics/a")
	if applied.RetentionMs != 604800000 || !applied.Compact {
		t.Errorf("a bad setting: %+v", applied)
	}
}
