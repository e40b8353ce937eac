package reassign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
)

// place is where a replica lies and, if it moves, where it moves to; empty: nowhere.
type place struct{ current, future string }

// done tells whether nothing moves any more, at the target or not.
func (p place) done() bool { return p.current != "" && p.future == "" }

// directories finds where replicas lie.
func (c *command) directories(ctx context.Context, wanted map[replica]string) (map[replica]place, error) {
	out := map[replica]place{}
	asked := map[int32][]replica{}
	for _, r := range replicas(wanted) {
		out[r] = place{}
		asked[r.broker] = append(asked[r.broker], r)
	}
	for broker, rs := range asked {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		for _, r := range rs {
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != r.Topic {
				t := kmsg.NewDescribeLogDirsRequestTopic()
				t.Topic = r.Topic
				req.Topics = append(req.Topics, t)
			}
			t := &req.Topics[len(req.Topics)-1]
			t.Partitions = append(t.Partitions, r.Partition)
		}
		resp, err := kclient.AskBroker[*kmsg.DescribeLogDirsResponse](ctx, c.client, broker, req, "describeReplicaLogDirs")
		if err != nil {
			return nil, kclient.Executed(err)
		}
		if err := locate(resp, broker, out); err != nil {
			return nil, kclient.Executed(err)
		}
	}
	return out, nil
}

func locate(resp *kmsg.DescribeLogDirsResponse, broker int32, out map[replica]place) error {
	for i := range resp.Dirs {
		d := &resp.Dirs[i]
		if d.ErrorCode == kerr.KafkaStorageError.Code {
			continue
		}
		if err := kclient.Error(d.ErrorCode, nil); err != nil {
			return err
		}
		for j := range d.Topics {
			for _, p := range d.Topics[j].Partitions {
				r := replica{partition{Topic: d.Topics[j].Topic, Partition: p.Partition}, broker}
				at, asked := out[r]
				switch {
				case !asked:
					continue
				case p.IsFuture:
					at.future = d.Dir
				default:
					at.current = d.Dir
				}
				out[r] = at
			}
		}
	}
	return nil
}

func describeMoves(found map[replica]place, wanted map[replica]string) string {
	var lines []string
	for _, r := range replicas(found) {
		at, to := found[r], wanted[r]
		switch {
		case at.current == "":
			lines = append(lines, fmt.Sprintf("Partition %s is not found in any live log dir on broker %d. There is likely an offline log directory on the broker.",
				r.partition, r.broker))
		case at.future == "" && at.current == to:
			lines = append(lines, fmt.Sprintf("Reassignment of replica %s completed successfully.", r))
		case at.future == "":
			lines = append(lines, fmt.Sprintf("Partition %s on broker %d is not being moved from log dir %s to %s.", r.partition, r.broker, at.current, to))
		case at.future == to:
			lines = append(lines, fmt.Sprintf("Reassignment of replica %s is still in progress.", r))
		default:
			lines = append(lines, fmt.Sprintf("Partition %s on broker %d is being moved to log dir %s instead of %s.", r.partition, r.broker, at.future, to))
		}
	}
	return strings.Join(lines, "\n")
}

// moveDirectories asks brokers to move replicas, again and again for those that a broker does not have yet.
func (c *command) moveDirectories(ctx context.Context, wanted map[replica]string) error {
	pending := map[replica]string{}
	for r, dir := range wanted {
		pending[r] = dir
	}
	end := time.Now().Add(time.Duration(c.opts.Int("timeout")) * time.Millisecond)
	for {
		begun, err := c.alterDirectories(ctx, pending)
		if err != nil {
			return err
		}
		if len(begun) > 0 {
			fmt.Fprintf(c.out, "Successfully started log directory move%s for: %s\n", plural(len(begun)), joinReplicas(begun))
		}
		for _, r := range begun {
			delete(pending, r)
		}
		if len(pending) == 0 {
			return nil
		}
		if !time.Now().Before(end) {
			return terse(fmt.Sprintf("Timed out before log directory move%s could be started for: %s", plural(len(pending)), joinReplicas(replicas(pending))))
		}
		timer := time.NewTimer(pollPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func joinReplicas(list []replica) string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

// alterDirectories asks each broker once, and returns the replicas whose move began, sorted.
func (c *command) alterDirectories(ctx context.Context, wanted map[replica]string) (begun []replica, err error) {
	reqs := map[int32]*kmsg.AlterReplicaLogDirsRequest{}
	var order []int32
	for _, r := range replicas(wanted) {
		req := reqs[r.broker]
		if req == nil {
			req = kmsg.NewPtrAlterReplicaLogDirsRequest()
			reqs[r.broker] = req
			order = append(order, r.broker)
		}
		i := slices.IndexFunc(req.Dirs, func(d kmsg.AlterReplicaLogDirsRequestDir) bool { return d.Dir == wanted[r] })
		if i < 0 {
			i = len(req.Dirs)
			d := kmsg.NewAlterReplicaLogDirsRequestDir()
			d.Dir = wanted[r]
			req.Dirs = append(req.Dirs, d)
		}
		d := &req.Dirs[i]
		j := slices.IndexFunc(d.Topics, func(t kmsg.AlterReplicaLogDirsRequestDirTopic) bool { return t.Topic == r.Topic })
		if j < 0 {
			j = len(d.Topics)
			t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
			t.Topic = r.Topic
			d.Topics = append(d.Topics, t)
		}
		d.Topics[j].Partitions = append(d.Topics[j].Partitions, r.Partition)
	}
	refusals := map[replica]error{}
	for _, broker := range order {
		resp, err := kclient.AskBroker[*kmsg.AlterReplicaLogDirsResponse](ctx, c.client, broker, reqs[broker], "alterReplicaLogDirs")
		if err != nil {
			for r := range wanted {
				if r.broker == broker {
					refusals[r] = err
				}
			}
			continue
		}
		for i := range resp.Topics {
			for _, p := range resp.Topics[i].Partitions {
				r := replica{partition{Topic: resp.Topics[i].Topic, Partition: p.Partition}, broker}
				if err := kclient.Error(p.ErrorCode, nil); err != nil {
					refusals[r] = err
				}
			}
		}
	}
	for _, r := range replicas(wanted) {
		var api *kclient.APIError
		switch err := refusals[r]; {
		case err == nil:
			begun = append(begun, r)
		case errors.As(err, &api) && api.Code == kerr.ReplicaNotAvailable.Code:
		default:
			return nil, &kclient.CausedError{Class: "kafka.common.AdminCommandFailedException", Message: "Failed to alter dir for " + r.String(), Cause: err}
		}
	}
	return begun, nil
}

// cancelMoves sends replicas that move between directories back to where they are.
func (c *command) cancelMoves(ctx context.Context, wanted map[replica]string) error {
	found, err := c.directories(ctx, wanted)
	if err != nil {
		return err
	}
	back := map[replica]string{}
	for r, at := range found {
		if at.current != "" && at.future != "" {
			back[r] = at.current
		}
	}
	if len(back) == 0 {
		fmt.Fprintln(c.out, "None of the specified partition moves are active.")
		return nil
	}
	return c.moveDirectories(ctx, back)
}
