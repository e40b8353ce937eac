package consumergroups

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gregor/tools/internal/kclient"
)

// alwaysQuoted is the length from which Jackson's writer quotes a field without looking at it.
const alwaysQuoted = 25

// csvLine writes a line as Jackson's CSV writer does.
func csvLine(fields []string) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		if len(f) >= alwaysQuoted || strings.ContainsFunc(f, func(r rune) bool { return r <= ',' }) {
			f = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
		b.WriteString(f)
	}
	b.WriteByte('\n')
	return b.String()
}

// planFile is what a file of --from-file says: the offsets of each group, in the order of the file.
type planFile map[string][]kclient.Committed

// parsePlan reads the lines of a file: topic,partition,offset of the one group, if there is only one and the first line has that form,
// else group,topic,partition,offset. A line that has neither form refuses the file.
func parsePlan(text, single string) (planFile, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	first, err := csvFields(lines[0])
	withGroup := single == "" || err != nil || len(first) != 3
	if !withGroup {
		_, err = planOf(first)
		withGroup = err != nil
	}
	plan := planFile{}
	for i, line := range lines {
		fields, err := csvFields(line)
		group := single
		switch {
		case err != nil:
		case withGroup && len(fields) == 4:
			group, fields = fields[0], fields[1:]
		case withGroup:
			err = fmt.Errorf("want group,topic,partition,offset")
		case len(fields) != 3:
			err = fmt.Errorf("want topic,partition,offset")
		}
		var o kclient.Committed
		if err == nil {
			o, err = planOf(fields)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the reset plan, %q: %w", i+1, line, err)
		}
		plan[group] = put(plan[group], o)
	}
	return plan, nil
}

// put adds an offset; one that was there for the partition is replaced where it stands.
func put(list []kclient.Committed, o kclient.Committed) []kclient.Committed {
	for i := range list {
		if list[i].TopicPartition == o.TopicPartition {
			list[i] = o
			return list
		}
	}
	return append(list, o)
}

func csvFields(line string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord = -1
	fields, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("no CSV")
	}
	return fields, nil
}

func planOf(fields []string) (o kclient.Committed, err error) {
	p, err := strconv.ParseInt(strings.TrimSpace(fields[1]), 10, 32)
	if err != nil {
		return o, fmt.Errorf("%q is no partition", fields[1])
	}
	o.Topic, o.Partition = fields[0], int32(p)
	if o.Offset, err = strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64); err != nil {
		return o, fmt.Errorf("%q is no offset", fields[2])
	}
	return o, nil
}

// fromFile takes a group's offsets out of the file.
func (c *command) fromFile(ctx context.Context, group string, to map[kclient.TopicPartition]int64) ([]kclient.TopicPartition, error) {
	if c.file == nil {
		path := c.o.String("from-file")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, &kclient.APIError{Class: "java.io.IOException", Message: "Unable to read file " + path}
		}
		single := ""
		if c.singleGroup() {
			single = c.o.String("group")
		}
		if c.file, err = parsePlan(string(text), single); err != nil {
			return nil, err
		}
	}
	offsets, ok := c.file[group]
	if !ok {
		c.fail("No reset plan for group %s found", group)
		return nil, nil
	}
	for _, o := range offsets {
		to[o.TopicPartition] = o.Offset
	}
	tps := kclient.ScalaSet(partitionsOf(offsets))
	return tps, c.clamp(ctx, tps, to)
}
