package clients

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
)

// OldCodecs are the compression types that message formats v0 and v1 know.
var OldCodecs = []string{"none", "gzip", "snappy", "lz4"}

// oldSets are the jars of Apache's old clients: 0.8.2.2 with its Scala consumers, and the Java clients after it.
var oldSets = []string{"kafka-0.8.2.2", "clients-0.9", "clients-0.10", "clients-1.1"}

// oldPythons are the versions that kafka-python is made to believe in.
var oldPythons = []string{"0.8.2", "0.9", "0.10"}

// oldKcats are those of kcat, which does not ask then.
var oldKcats = []string{"0.8.2.2", "0.9.0.1", "0.10.0.1"}

// OldProducers are clients of the time of message formats v0 and v1, and such as behave like them.
func (t *Tools) OldProducers() []Producer {
	var all []Producer
	for _, set := range oldSets {
		all = append(all, Producer{Name: "java-" + set, produce: func(ctx context.Context, j Job, records Records) error {
			return feed(ctx, pairs, records, t.java(set, "OldProduce", j.Addr, j.Topic, "compression.type="+j.Codec, "acks=all")...)
		}})
	}
	for _, version := range oldPythons {
		all = append(all, Producer{Name: "python-" + version, produce: func(ctx context.Context, j Job, records Records) error {
			return feed(ctx, pairs, records, t.python("old.py", version, "produce", j.Addr, j.Topic, j.Codec)...)
		}})
	}
	for _, version := range oldKcats {
		all = append(all, Producer{Name: "kcat-" + version, produce: func(ctx context.Context, j Job, records Records) error {
			argv := append(oldKcat("-P", version), "-b", j.Addr, "-t", j.Topic, "-K", "\\t", "-D", "\\n", "-z", j.Codec)
			return feed(ctx, lines, records, argv...)
		}})
	}
	return all
}

// OldConsumers are the same for reading; the high-level consumer of 0.8 needs Job.ZooKeeper.
func (t *Tools) OldConsumers() []Consumer {
	all := []Consumer{
		{"simple-0.8.2.2", func(ctx context.Context, j Job, add func(key, value []byte)) error {
			host, port, err := net.SplitHostPort(j.Addr)
			if err != nil {
				return err
			}
			return drain(ctx, pairs, add, t.java("kafka-0.8.2.2", "Old08", "simple", host, port, j.Topic)...)
		}},
		{"high-level-0.8.2.2", counted(func(j Job, n string) []string {
			return t.java("kafka-0.8.2.2", "Old08", "high-level", j.ZooKeeper, j.Topic, n, "high-level-"+j.Topic)
		})},
	}
	for _, set := range oldSets[1:] {
		all = append(all,
			Consumer{"java-" + set, counted(func(j Job, n string) []string { return t.java(set, "OldConsume", j.Addr, j.Topic, n) })},
			Consumer{"java-" + set + " in a group", counted(func(j Job, n string) []string {
				return t.java(set, "OldConsume", j.Addr, j.Topic, n, "group.id="+set+"-"+j.Topic)
			})})
	}
	for _, version := range oldPythons {
		all = append(all, Consumer{"python-" + version, counted(func(j Job, n string) []string { return t.python("old.py", version, "consume", j.Addr, j.Topic, n) })})
	}
	for _, version := range oldKcats {
		all = append(all, Consumer{"kcat-" + version, func(ctx context.Context, j Job, add func(key, value []byte)) error {
			argv := append(oldKcat("-C", version), "-q", "-e", "-o", "beginning", "-b", j.Addr, "-t", j.Topic, "-f", "%K %S\\n%k%s")
			return drain(ctx, kcatFormat, add, argv...)
		}})
	}
	return all
}

func oldKcat(mode, version string) []string {
	return []string{"kcat", mode, "-X", "api.version.request=false", "-X", "broker.version.fallback=" + version}
}

func (t *Tools) python(program string, argv ...string) []string {
	return append([]string{t.cache("python", "bin", "python"), filepath.Join(t.root, "integration", "clients", "python", program)}, argv...)
}

// counted runs a program that reads as many records as it is told to.
func counted(argv func(j Job, n string) []string) func(context.Context, Job, func(key, value []byte)) error {
	return func(ctx context.Context, j Job, add func(key, value []byte)) error {
		ends, err := EndOffsets(ctx, j.Addr, j.Topic)
		if err != nil {
			return err
		}
		var n int64
		for _, end := range ends {
			n += end
		}
		return drain(ctx, pairs, add, argv(j, strconv.FormatInt(n, 10))...)
	}
}
