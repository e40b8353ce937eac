// Package elections is what the two commands that elect leaders share: their file, the request, and the account of it.
//
// Owns, is guarded by: nothing. Invariant: what could not be elected is an error, after all that was said about the rest.
// Imports: kmsg, tools/internal. Kafka counterpart: kafka.admin.LeaderElectionCommand.
package elections

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/kclient"
	"gregor/tools/internal/scalajson"
)

// Words are the phrases in which the two commands differ.
type Words struct {
	Succeeded string // before the partitions
	Noop      string
	Failed    string // before a partition
	Replicas  string // what could not be elected
}

// Refused is the error of a file that is not what it should be.
func Refused(message string) error {
	return &kclient.APIError{Class: "kafka.admin.AdminOperationException", Message: message}
}

func failed(message string, cause error) error {
	if cause == nil {
		return &kclient.APIError{Class: "kafka.common.AdminCommandFailedException", Message: message}
	}
	return &kclient.CausedError{Class: "kafka.common.AdminCommandFailedException", Message: message, Cause: cause}
}

// Parse reads the partitions of a file. missing is said of a file without the field partitions.
func Parse(text []byte, missing string) ([]kclient.TopicPartition, error) {
	doc, ok := scalajson.Parse(text)
	if !ok {
		return nil, Refused("Replica election data is empty")
	}
	top, err := doc.Object()
	if err != nil {
		return nil, err
	}
	field, ok := top["partitions"]
	if !ok {
		return nil, Refused(missing)
	}
	list, err := field.Array()
	if err != nil {
		return nil, err
	}
	out := make([]kclient.TopicPartition, len(list))
	for i, v := range list {
		o, err := v.Object()
		if err == nil {
			out[i], err = scalajson.Partition(o)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// timeoutMillis is how long the controller may take.
const timeoutMillis = 30000

// Elect asks for an election: 0 is preferred, 1 is unclean. Without partitions (nil) it is about all there are.
func Elect(ctx context.Context, admin *kclient.Admin, kind int8, partitions []kclient.TopicPartition, w Words, out *bufio.Writer) error {
	req := kmsg.NewPtrElectLeadersRequest()
	req.ElectionType, req.TimeoutMillis = kind, timeoutMillis
	if partitions != nil {
		req.Topics = []kmsg.ElectLeadersRequestTopic{}
	}
	at := map[string]int{}
	for _, tp := range partitions {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewElectLeadersRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, tp.Partition)
	}
	resp, err := kclient.Ask[*kmsg.ElectLeadersResponse](ctx, admin, req, "electLeaders")
	if err == nil {
		err = kclient.Error(resp.ErrorCode, nil)
	}
	var api *kclient.APIError
	if errors.As(err, &api) {
		message := ""
		switch api.Code {
		case kerr.RequestTimedOut.Code:
			message = "Timeout waiting for election results"
		case kerr.ClusterAuthorizationFailed.Code:
			message = "Not authorized to perform leader election"
		default:
			return kclient.Executed(err)
		}
		fmt.Fprintln(out, message)
		return failed(message, err)
	}
	return tell(resp, w, out)
}

// Suppressed is a failure with those that led to it.
type Suppressed struct {
	error
	Lines []string
}

func (s *Suppressed) Unwrap() error { return s.error }

func tell(resp *kmsg.ElectLeadersResponse, w Words, out *bufio.Writer) error {
	errs := map[kclient.TopicPartition]*kclient.APIError{}
	var done, bad []kclient.TopicPartition
	noop := false
	for i := range resp.Topics {
		for _, p := range resp.Topics[i].Partitions {
			tp := kclient.TopicPartition{Topic: resp.Topics[i].Topic, Partition: p.Partition}
			var api *kclient.APIError
			switch failed := errors.As(kclient.Error(p.ErrorCode, p.ErrorMessage), &api); {
			case !failed:
				done = append(done, tp)
			case api.Code == kerr.ElectionNotNeeded.Code:
				noop = true
			default:
				bad = append(bad, tp)
				errs[tp] = api
			}
		}
	}
	kclient.ScalaOrder(done)
	kclient.ScalaOrder(bad)
	names := kclient.JoinPartitions(done, ", ")
	if len(done) > 0 {
		fmt.Fprintln(out, w.Succeeded+names)
	}
	if noop {
		fmt.Fprintln(out, w.Noop+names) // Kafka's commands name those that were elected here too
	}
	if len(bad) == 0 {
		return nil
	}
	s := &Suppressed{error: failed(fmt.Sprintf("%d %s could not be elected", len(bad), w.Replicas), nil)}
	for _, tp := range bad {
		fmt.Fprintf(out, "%s%s: %s\n", w.Failed, tp, errs[tp].Trace())
		s.Lines = append(s.Lines, "\tSuppressed: "+errs[tp].Trace())
	}
	return s
}

// Uncaught shows an error as kclient.Uncaught does, with what was suppressed.
func Uncaught(stderr io.Writer, err error) int {
	var s *Suppressed
	if !errors.As(err, &s) {
		return kclient.Uncaught(stderr, err)
	}
	code := kclient.Uncaught(stderr, s.error)
	for _, line := range s.Lines {
		fmt.Fprintln(stderr, line)
	}
	return code
}
