package consumergroups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/tools/internal/kclient"
)

// notProvided stands for the partitions of a topic that could not be described.
const notProvided = -1

func (c *command) deleteOffsets(ctx context.Context) error {
	group, topics := c.o.String("group"), c.o.Values("topic")
	results := map[kclient.TopicPartition]error{}
	var named, rest []kclient.TopicPartition
	for _, word := range topics {
		if strings.Contains(word, ":") {
			tps, err := namedPartitions(word)
			if err != nil {
				return err
			}
			named = append(named, tps...)
		}
	}
	for _, word := range topics {
		if strings.Contains(word, ":") {
			continue
		}
		tps, err := c.partitions(ctx, word)
		if err != nil {
			results[kclient.TopicPartition{Topic: word, Partition: notProvided}] = err
			continue
		}
		rest = append(rest, tps...)
	}
	tps := kclient.ScalaSet(slices.Concat(named, rest))
	errs, top := c.admin.DeleteOffsets(ctx, group, tps)
	for _, tp := range tps {
		err := errs[tp]
		if top != nil {
			err = top
		}
		results[tp] = kclient.Executed(err)
	}
	c.deleted(group, topics, worst(top, tps, errs))
	c.tell(results)
	return nil
}

// worst is what the request as a whole failed with: if not itself, then the first partition.
func worst(top error, tps []kclient.TopicPartition, errs map[kclient.TopicPartition]error) error {
	for _, tp := range kclient.HashOrderPartitions(tps, max(len(tps)*4/3+1, 16)) {
		if top == nil {
			top = errs[tp]
		}
	}
	return top
}

func (c *command) deleted(group string, topics []string, err error) {
	var api *kclient.APIError
	if err == nil {
		fmt.Fprintf(c.out, "Request succeed for deleting offsets with topic %s group %s\n", strings.Join(topics, ", "), group)
		return
	}
	code := kerr.UnknownServerError.Code
	if errors.As(err, &api) {
		code = api.Code
	}
	switch code {
	case kerr.InvalidGroupID.Code:
		c.fail("'%s' is not valid.", group)
	case kerr.GroupIDNotFound.Code:
		c.fail("'%s' does not exist.", group)
	case kerr.GroupAuthorizationFailed.Code:
		c.fail("Access to '%s' is not authorized.", group)
	case kerr.NonEmptyGroup.Code:
		c.fail("Deleting offsets of a consumer group '%s' is forbidden if the group is not empty.", group)
	case kerr.GroupSubscribedToTopic.Code, kerr.TopicAuthorizationFailed.Code, kerr.UnknownTopicOrPartition.Code:
		c.fail("Encounter some partition level error, see the follow-up details:")
	default:
		name := kerr.UnknownServerError.Message
		if e := kerr.TypedErrorForCode(code); e != nil {
			name = e.Message
		}
		c.fail("Encounter some unknown error: %s", name)
	}
}

func (c *command) tell(results map[kclient.TopicPartition]error) {
	var tps []kclient.TopicPartition
	for tp := range results {
		tps = append(tps, tp)
	}
	key := func(tp kclient.TopicPartition) string { return tp.Topic + strconv.Itoa(int(tp.Partition)) }
	slices.SortFunc(tps, func(a, b kclient.TopicPartition) int { return strings.Compare(key(a), key(b)) })
	fmt.Fprintf(c.out, "\n%-30s %-15s %-15s\n", "TOPIC", "PARTITION", "STATUS")
	for _, tp := range tps {
		partition, status := "Not Provided", "Successful"
		if tp.Partition >= 0 {
			partition = strconv.Itoa(int(tp.Partition))
		}
		if err := results[tp]; err != nil {
			status = "Error: " + message(err)
		}
		fmt.Fprintf(c.out, "%-30s %-15s %-15s\n", tp.Topic, partition, status)
	}
}
