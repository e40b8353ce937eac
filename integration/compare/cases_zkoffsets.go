package compare

import (
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// version0 asks in version 0, in which offsets lie in ZooKeeper, and keeps the answers and what lies there.
type version0 struct{ dialogue }

func (d *version0) ask(req kmsg.Request) {
	req.SetVersion(0)
	resp, err := d.b.Ask(req)
	d.out = append(d.out, answer(resp, err, nil))
}

func (d *version0) commit(group, topic string, partition int32, offset int64, metadata *string) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group = group
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, metadata
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	d.ask(r)
}

func (d *version0) fetch(group, topic string, partitions ...int32) {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group = group
	r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: partitions}}
	d.ask(r)
}

// tree keeps what lies under a group, access lists included.
func (d *version0) tree(group string) {
	out := map[string]any{}
	if err := d.b.znodes("/consumers/"+group, out); err != nil {
		d.out = append(d.out, err.Error())
		return
	}
	plain := map[string]any{}
	for path, node := range out {
		plain[strings.ReplaceAll(path, d.b.Topic, "T")] = node
	}
	d.out = append(d.out, plainTree(plain))
}

// put writes a znode as an old consumer would.
func (d *version0) put(path, data string) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		var b []byte
		if i == len(path) {
			b = []byte(data)
		}
		if _, err := d.b.zk.Create(d.b.Root+path[:i], b, 0, zk.WorldACL(zk.PermAll)); err != nil && err != zk.ErrNodeExists { //nolint:errorlint // the library returns it as it is
			d.out = append(d.out, err.Error())
		}
	}
}

// zooKeeperOffsetCases are OffsetCommit and OffsetFetch as consumers of 0.8 ask them.
func zooKeeperOffsetCases() []Case {
	talk := func(key kmsg.Key, name string, f func(d *version0, group, topic string)) Case {
		return Case{Key: key, Name: name, Max: -1, Do: func(b *Broker, _ int16) any {
			d := &version0{dialogue{b: b}}
			f(d, "zk-"+strings.ReplaceAll(name, " ", "-")+"-"+key.Name(), b.topic("t", 0))
			return d.out
		}}
	}
	return []Case{
		talk(kmsg.OffsetCommit, "in ZooKeeper", func(d *version0, g, t string) {
			d.fetch(g, t, 0, 1)
			d.commit(g, t, 0, 7, ptr("said"))
			d.tree(g)
			d.commit(g, t, 0, 5, nil)
			d.commit(g, t, 1, -1, nil)
			d.commit(g, t, 5, 1, nil)
			d.commit(g, "never-there", 0, 1, nil)
			d.commit(g, t, 0, 8, ptr(strings.Repeat("x", 4097)))
			d.fetch(g, t, 0, 1, 5)
			d.fetch(g, "never-there", 0)
			d.tree(g)
		}),
		talk(kmsg.OffsetCommit, "groups that make no path", func(d *version0, g, t string) {
			for i, group := range []string{"", g + "/below", "..", g + "\x00"} {
				d.commit(group, t, 0, int64(i), nil)
				d.fetch(group, t, 0)
			}
			d.tree(g)
		}),
		talk(kmsg.OffsetFetch, "what old consumers wrote", func(d *version0, g, t string) {
			for i, data := range []string{"12", "", "x", " 3", "+4", "9999999999999999999", "-5"} {
				group := fmt.Sprint(g, i)
				d.put(fmt.Sprintf("/consumers/%s/offsets/%s/0", group, t), data)
				d.fetch(group, t, 0)
			}
		}),
	}
}
