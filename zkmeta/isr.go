package zkmeta

import (
	"context"
	"errors"
	"fmt"
)

// EncodeIsrChange writes /isr_change_notification/isr_change_N.
func EncodeIsrChange(partitions []TopicPartition) []byte {
	b := []byte{'['}
	for i, p := range partitions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, object{{"topic", jsonString(p.Topic)}, {"partition", jsonInt(int64(p.Partition))}}.encode()...)
	}
	return object{{"version", jsonInt(1)}, {"partitions", append(b, ']')}}.encode()
}

// DecodeIsrChange reads /isr_change_notification/isr_change_N.
func DecodeIsrChange(data []byte) ([]TopicPartition, error) {
	o, err := parseObject(data)
	var ps []struct {
		Topic     *string `json:"topic"`
		Partition *int32  `json:"partition"`
	}
	if err == nil {
		err = o.into("partitions", &ps)
	}
	out := make([]TopicPartition, 0, len(ps))
	for _, p := range ps {
		if p.Topic == nil || p.Partition == nil {
			err = errors.Join(err, errors.New("a partition lacks its topic or its number"))
			break
		}
		out = append(out, TopicPartition{*p.Topic, *p.Partition})
	}
	if err != nil {
		return nil, fmt.Errorf("ISR change %.200q: %w", data, err)
	}
	return out, nil
}

// NotifyIsrChange tells the controller that a leader changed the ISR of partitions by writing their znodes.
func (c *Client) NotifyIsrChange(ctx context.Context, partitions []TopicPartition) error {
	_, err := c.CreateSequential(ctx, PathIsrChangeNotification+"/isr_change_", EncodeIsrChange(partitions))
	return err
}

// EncodeLogDirEvent writes /log_dir_event_notification/log_dir_event_N: a log directory of the broker failed.
func EncodeLogDirEvent(brokerID int32) []byte {
	return object{{"version", jsonInt(1)}, {"broker", jsonInt(int64(brokerID))}, {"event", jsonInt(1)}}.encode()
}

// DecodeLogDirEvent reads /log_dir_event_notification/log_dir_event_N.
func DecodeLogDirEvent(data []byte) (brokerID int32, err error) {
	o, err := parseObject(data)
	if err == nil {
		err = o.into("broker", &brokerID)
	}
	if err != nil {
		return -1, fmt.Errorf("log directory event %.200q: %w", data, err)
	}
	return brokerID, nil
}

// NotifyLogDirFailure tells the controller that a log directory of this broker failed.
func (c *Client) NotifyLogDirFailure(ctx context.Context, brokerID int32) error {
	_, err := c.CreateSequential(ctx, PathLogDirEventNotification+"/log_dir_event_", EncodeLogDirEvent(brokerID))
	return err
}
