package deleterecords

import (
	"fmt"

	"gregor/tools/internal/kclient"
	"gregor/tools/internal/scalajson"
)

// target is one partition's new first offset.
type target struct {
	kclient.TopicPartition
	offset int64
}

// parse reads the offset file.
func parse(text []byte) ([]target, error) {
	doc, ok := scalajson.Parse(text)
	if !ok {
		return nil, refused("The input string is not a valid JSON")
	}
	top, err := doc.Object()
	if err != nil {
		return nil, err
	}
	version := int32(1)
	if v, ok := top["version"]; ok {
		if version, err = v.Int(); err != nil {
			return nil, err
		}
	}
	if version != 1 {
		return nil, refused(fmt.Sprintf("Not supported version field value %d", version))
	}
	partitions, ok := top["partitions"]
	if !ok {
		return nil, refused("Missing partitions field")
	}
	list, err := partitions.Array()
	if err != nil {
		return nil, err
	}
	targets := make([]target, 0, len(list))
	var keys []kclient.TopicPartition
	for _, item := range list {
		t, err := entry(item)
		if err != nil {
			return nil, err
		}
		targets, keys = append(targets, t), append(keys, t.TopicPartition)
	}
	if twice := kclient.ScalaDuplicates(keys); twice != nil {
		return nil, &kclient.APIError{Class: "kafka.common.AdminCommandFailedException",
			Message: "Offset json file contains duplicate topic partitions: " + kclient.JoinPartitions(twice, ",")}
	}
	return targets, nil
}

func entry(item scalajson.Value) (t target, err error) {
	o, err := item.Object()
	if err != nil {
		return t, err
	}
	if t.TopicPartition, err = scalajson.Partition(o); err != nil {
		return t, err
	}
	offset, err := o.Field("offset")
	if err == nil {
		t.offset, err = offset.Long()
	}
	return t, err
}

func refused(message string) error {
	return &kclient.APIError{Class: "kafka.admin.AdminOperationException", Message: message}
}
