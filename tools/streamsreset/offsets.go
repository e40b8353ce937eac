package streamsreset

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gregor/tools/internal/javatime"
	"gregor/tools/internal/kclient"
)

// offsets sets the offsets of input and intermediate topics. The exit code is 1 if one that was named is not there.
func (r *resetter) offsets(ctx context.Context) (int, error) {
	if len(r.inputs) == 0 && len(r.intermediates) == 0 {
		r.say("No input or intermediate topics specified. Skipping seek.")
		return 0, nil
	}
	if len(r.inputs) > 0 {
		r.say("Reset-offsets for input topics [%s]", strings.Join(r.inputs, ", "))
	}
	if len(r.intermediates) > 0 {
		r.say("Seek-to-end for intermediate topics [%s]", strings.Join(r.intermediates, ", "))
	}
	code := 0
	in, between := r.missing("input", r.inputs, "Topic: "), r.missing("intermediate", r.intermediates, "Topic:")
	if in || between {
		code = 1
	}
	var subscribed []string
	for _, t := range slices.Concat(r.inputs, r.intermediates) {
		if slices.Contains(r.topics, t) && !slices.Contains(subscribed, t) {
			subscribed = append(subscribed, t)
		}
	}
	if len(subscribed) == 0 {
		return code, nil
	}
	var inputs, intermediates []kclient.TopicPartition
	for _, name := range kclient.HashOrder(subscribed, len(r.inputs)+len(r.intermediates)) {
		t, err := r.admin.DescribeTopic(ctx, name)
		if err != nil {
			return 0, err
		}
		for _, p := range t.Partitions {
			if tp := (kclient.TopicPartition{Topic: name, Partition: p}); slices.Contains(r.inputs, name) {
				inputs = append(inputs, tp)
			} else {
				intermediates = append(intermediates, tp)
			}
		}
	}
	to, err := r.plan(ctx, kclient.HashOrderPartitions(inputs, 0), kclient.HashOrderPartitions(intermediates, 0))
	if err != nil {
		return 0, r.resetFailed(err)
	}
	if !r.dry {
		var offsets []kclient.Committed
		for tp, offset := range to {
			offsets = append(offsets, kclient.Committed{TopicPartition: tp, Offset: offset})
		}
		if err := r.admin.Commit(ctx, r.id, offsets); err != nil {
			return 0, err
		}
	}
	r.say("Done.")
	return code, nil
}

// missing tells which topics are not there.
func (r *resetter) missing(what string, names []string, before string) bool {
	missing := slices.DeleteFunc(slices.Clone(names), func(t string) bool { return slices.Contains(r.topics, t) })
	if len(missing) == 0 {
		return false
	}
	r.say("Following %s topics are not found, skipping them", what)
	for _, t := range missing {
		r.say("%s%s", before, t)
	}
	return true
}

// plan says where partitions go, and tells.
func (r *resetter) plan(ctx context.Context, inputs, intermediates []kclient.TopicPartition) (map[kclient.TopicPartition]int64, error) {
	to := map[kclient.TopicPartition]int64{}
	if len(inputs) > 0 {
		r.say("Following input topics offsets will be reset to (for consumer group %s)", r.id)
		var err error
		if to, err = r.target(ctx, inputs); err != nil {
			return nil, err
		}
		for _, tp := range inputs {
			r.say("Topic: %s Partition: %d Offset: %d", tp.Topic, tp.Partition, to[tp])
		}
	}
	if len(intermediates) > 0 {
		r.say("Following intermediate topics offsets will be reset to end (for consumer group %s)", r.id)
		ends, err := r.admin.ListOffsets(ctx, intermediates, kclient.Latest)
		if err != nil {
			return nil, err
		}
		for _, tp := range intermediates {
			r.say("Topic: %s", tp.Topic)
			to[tp] = ends[tp]
		}
	}
	return to, nil
}

func (r *resetter) target(ctx context.Context, tps []kclient.TopicPartition) (map[kclient.TopicPartition]int64, error) {
	to := map[kclient.TopicPartition]int64{}
	switch {
	case r.o.Has("to-offset"):
		for _, tp := range tps {
			to[tp] = r.o.Int("to-offset")
		}
		return to, r.clamp(ctx, tps, to)
	case r.o.Has("to-latest"):
		return r.admin.ListOffsets(ctx, tps, kclient.Latest)
	case r.o.Has("shift-by"):
		ends, err := r.admin.ListOffsets(ctx, tps, kclient.Latest)
		if err != nil {
			return nil, err
		}
		committed, err := r.admin.Committed(ctx, r.id)
		if err != nil {
			return nil, err
		}
		for _, o := range committed {
			ends[o.TopicPartition] = o.Offset
		}
		for _, tp := range tps {
			to[tp] = ends[tp] + r.o.Int("shift-by")
		}
		return to, r.clamp(ctx, tps, to)
	case r.o.Has("to-datetime"):
		ms, err := javatime.DateTime(r.o.String("to-datetime"))
		if err != nil {
			return nil, err
		}
		return r.atTime(ctx, tps, ms)
	case r.o.Has("by-duration"):
		ms, err := javatime.Duration(r.o.String("by-duration"))
		if err != nil {
			return nil, err
		}
		return r.atTime(ctx, tps, time.Now().UnixMilli()-ms)
	case r.o.Has("from-file"):
		to, err := readPlan(r.o.String("from-file"))
		if err != nil {
			return nil, err
		}
		for _, tp := range tps {
			if _, ok := to[tp]; !ok {
				return nil, &kclient.APIError{Class: "java.lang.NullPointerException", Message: "no offset of " + tp.String() + " in " + r.o.String("from-file")}
			}
		}
		for tp := range to {
			if !slices.Contains(tps, tp) {
				return nil, &kclient.APIError{Class: "java.lang.NullPointerException", Message: tp.String() + " in " + r.o.String("from-file") + " is no partition of an input topic"}
			}
		}
		return to, r.clamp(ctx, tps, to)
	}
	return r.admin.ListOffsets(ctx, tps, kclient.Earliest)
}

// atTime finds the first records of a time; a partition without one goes to its end.
func (r *resetter) atTime(ctx context.Context, tps []kclient.TopicPartition, ms int64) (map[kclient.TopicPartition]int64, error) {
	to, err := r.admin.ListOffsets(ctx, tps, ms)
	if err != nil {
		return nil, err
	}
	ends, err := r.admin.ListOffsets(ctx, tps, kclient.Latest)
	if err != nil {
		return nil, err
	}
	for _, tp := range tps {
		if to[tp] < 0 {
			to[tp] = ends[tp]
		}
	}
	return to, nil
}

// clamp keeps offsets within what the logs hold, and tells where it has to; in Kafka's words, which call the first offset lower than itself.
func (r *resetter) clamp(ctx context.Context, tps []kclient.TopicPartition, to map[kclient.TopicPartition]int64) error {
	starts, err := r.admin.ListOffsets(ctx, tps, kclient.Earliest)
	if err != nil {
		return err
	}
	ends, err := r.admin.ListOffsets(ctx, tps, kclient.Latest)
	if err != nil {
		return err
	}
	for _, tp := range tps {
		switch at := to[tp]; {
		case at >= ends[tp]:
			r.say("New offset (%d) is higher than latest offset. Value will be set to %d", at, ends[tp])
			to[tp] = ends[tp]
		case at <= starts[tp]:
			r.say("New offset (%d) is lower than earliest offset. Value will be set to %d", at, starts[tp])
			to[tp] = starts[tp]
		}
	}
	return nil
}

func readPlan(path string) (map[kclient.TopicPartition]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &kclient.APIError{Class: "java.io.IOException", Message: "Unable to read file " + path}
	}
	return parsePlan(string(text))
}

func parsePlan(text string) (map[kclient.TopicPartition]int64, error) {
	refuse := func(message string) error {
		return &kclient.APIError{Class: "java.text.ParseException", Message: message}
	}
	if text == "" {
		return nil, refuse("Error parsing reset plan CSV file. It is empty,")
	}
	to := map[kclient.TopicPartition]int64{}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fields := strings.Split(strings.TrimRight(line, ",\r"), ",")
		if len(fields) != 3 {
			return nil, refuse("Reset plan CSV file is not following the format `TOPIC,PARTITION,OFFSET`.")
		}
		p, err := strconv.ParseInt(fields[1], 10, 32)
		if err != nil {
			return nil, kclient.NumberFormat(fields[1])
		}
		offset, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, kclient.NumberFormat(fields[2])
		}
		to[kclient.TopicPartition{Topic: fields[0], Partition: int32(p)}] = offset
	}
	return to, nil
}
