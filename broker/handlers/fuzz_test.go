package handlers

import (
	"context"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/internal/vfs"
	"gregor/replication"
	"gregor/storage"
	"gregor/wire"
)

// fill gives every field of a message a value, and every list one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type().Elem().Kind() != reflect.Struct || v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem())
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" && v.Type().Field(i).Name != "UnknownTags" {
				fill(f)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("x"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("t")
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	default:
	}
}

// countable says that a message asks for few enough partitions to make thousands of such requests a second.
func countable(msg kmsg.Request) bool {
	n := int64(0)
	switch q := msg.(type) {
	case *kmsg.CreateTopicsRequest:
		for _, t := range q.Topics {
			n += max(0, int64(t.NumPartitions))
		}
	case *kmsg.CreatePartitionsRequest:
		for _, t := range q.Topics {
			n += max(0, int64(t.Count))
		}
	}
	return n < 100
}

// FuzzHandlers: a message that its decoder takes makes no handler panic, hang or answer what cannot be encoded.
func FuzzHandlers(f *testing.F) {
	table := map[int16]server.API{}
	var a *Admin
	var control *Control
	var replicas *replication.Manager
	log, _ := test.NewNullLogger()
	world := func(t testing.TB) { // a new one for each input
		var cluster *fakeCluster
		a, cluster = fakeAdmin(t)
		_ = cluster.CreateTopic(context.Background(), "t", map[int32][]int32{0: {1}, 1: {1}}, nil)
		cluster.done.Wait()
		st, err := storage.Open(context.Background(), storage.Options{FS: vfs.NewMem(), Dirs: []string{"/d"}, BrokerID: self, Defaults: storage.DefaultConfig(), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close(context.Background()) })
		topicConfig := func(string) storage.Config { return storage.DefaultConfig() }
		replicas = replication.New(replication.Options{BrokerID: self, Logs: st, TopicConfig: topicConfig, MinISR: func(string) int { return 1 },
			Known: func(string, int32) bool { return false }, Log: log})
		if err := replicas.BecomeLeaderOrFollower(&replication.LeaderAndIsr{Partitions: []replication.PartitionState{{
			TopicPartition: storage.TopicPartition{Topic: "t"},
			State:          replication.State{Leader: self, ISR: []int32{self}, Replicas: []int32{self}, IsNew: true}}}}); err != nil {
			t.Fatal(err)
		}
		control = &Control{Replicas: replicas, Metadata: a.Metadata, BrokerEpoch: func() int64 { return 100 }, Log: log}
		for _, h := range []interface{ APIs() []server.API }{a, control, &ListOffsets{Replicas: replicas, Log: log},
			&OffsetForLeaderEpoch{Replicas: replicas}, &DeleteRecords{Replicas: replicas, Log: log}} {
			for _, api := range h.APIs() {
				table[api.Key.Int16()] = api
			}
		}
	}
	world(f)
	for key, api := range table {
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			req := kmsg.RequestForKey(key)
			fill(reflect.ValueOf(req).Elem())
			req.SetVersion(v)
			f.Add(byte(key), byte(v), req.AppendTo(nil))
			for _, n := range []int64{-1, 0, math.MaxInt32} {
				each(reflect.ValueOf(req).Elem(), n)
				f.Add(byte(key), byte(v), req.AppendTo(nil))
			}
		}
	}
	f.Fuzz(func(t *testing.T, key, v byte, body []byte) {
		api, ok := table[int16(key)]
		version := int16(v)
		if !ok || version < api.MinVersion || version > api.MaxVersion || wire.Check(int16(key), version, body) != nil {
			return
		}
		msg := kmsg.RequestForKey(int16(key))
		msg.SetVersion(version)
		if msg.ReadFrom(body) != nil || !countable(msg) {
			return
		}
		world(t)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		resp, err := table[int16(key)].Handle(ctx, &server.Request{Key: int16(key), Version: version, Body: body, Listener: "PLAINTEXT"}, msg)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%s version %d took %v", wire.APIName(int16(key)), version, took)
		}
		if err == nil && resp != nil {
			resp.SetVersion(version)
			resp.AppendTo(nil)
		}
	})
}

// each gives every number of a message the same value.
func each(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			each(v.Elem(), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" && v.Type().Field(i).Name != "UnknownTags" {
				each(f, n)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			each(v.Index(i), n)
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(n)
	default:
	}
}
