package zkmeta

import (
	"fmt"
	"testing"
	"time"
)

// decoders read one kind of znode each. What one of them accepts must be the same after it was written and read again; those that are
// never written again return no second value.
var decoders = []func(data []byte) (value, again any, err error){
	func(data []byte) (any, any, error) {
		v, err := DecodePartitionState(data)
		return twice(v, err, EncodePartitionState, DecodePartitionState)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeTopic("t", data)
		if err != nil {
			return nil, nil, err
		}
		again, err := DecodeTopic("t", EncodeTopic(v))
		if err != nil {
			return v.Partitions, err, nil
		}
		return v.Partitions, again.Partitions, nil
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeBroker(1, data)
		if err == nil {
			EncodeBroker(v)
		}
		return nil, nil, err
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeConfig(data)
		return twice(v, err, func(m map[string]string) []byte { return EncodeConfig(m, data) }, DecodeConfig)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeConfigChange(data)
		return twice(v, err, EncodeConfigChange, DecodeConfigChange)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeIsrChange(data)
		return twice(v, err, EncodeIsrChange, DecodeIsrChange)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeReassignment(data)
		return twice(v, err, EncodeReassignment, DecodeReassignment)
	},
	func(data []byte) (any, any, error) { _, err := DecodePreferredElection(data); return nil, nil, err },
	func(data []byte) (any, any, error) {
		v, err := DecodeFeatures(data)
		return twice(v, err, EncodeFeatures, DecodeFeatures)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeController(data)
		return twice(v, err, func(id int32) []byte { return EncodeController(id, time.Unix(0, 0)) }, DecodeController)
	},
	func(data []byte) (any, any, error) {
		v, err := decodeClusterID(data)
		return twice(v, err, encodeClusterID, decodeClusterID)
	},
	func(data []byte) (any, any, error) {
		v, err := decodeBlockEnd(data)
		return twice(v, err, func(end int64) []byte { return encodeBlock(1, end-ProducerIDBlockSize+1, end) }, decodeBlockEnd)
	},
	func(data []byte) (any, any, error) {
		v, err := DecodeLogDirEvent(data)
		return twice(v, err, EncodeLogDirEvent, DecodeLogDirEvent)
	},
}

func twice[T any](v T, err error, encode func(T) []byte, decode func([]byte) (T, error)) (value, again any, _ error) {
	if err != nil {
		return nil, nil, err
	}
	second, err := decode(encode(v))
	if err != nil {
		return v, err, nil
	}
	return v, second, nil
}

// FuzzDecoders: no content of a znode makes its decoder panic, and what a decoder accepts survives being written and read again.
func FuzzDecoders(f *testing.F) {
	for i, data := range []string{
		`{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1,2]}`,
		`{"version":2,"partitions":{"0":[1,2],"1":null},"adding_replicas":{"0":[3]},"removing_replicas":{},"topic_id":"x"}`,
		`{"listener_security_protocol_map":{"IN":"PLAINTEXT"},"endpoints":["IN://[::1]:9092"],"rack":"r","jmx_port":-1,"port":9092,"host":"h","version":4,"timestamp":"1"}`,
		`{"version":1,"config":{"retention.ms":"1000","a":1}}`,
		`{"version":2,"entity_path":"topics/t"}`,
		`{"version":1,"partitions":[{"topic":"t","partition":3}]}`,
		`{"version":1,"partitions":[{"topic":"t","partition":3,"replicas":[1,2]}]}`,
		`{"version":1,"partitions":[{"topic":"t","partition":3}]}`,
		`{"features":{"f":{"min_version_level":1,"max_version_level":2}},"version":1,"status":1}`,
		`{"version":1,"brokerid":7,"timestamp":"0"}`,
		`{"version":"1","id":"abc"}`,
		`{"version":1,"broker":1,"block_start":"0","block_end":"999"}`,
		`{"version":1,"broker":4,"event":1}`,
	} {
		f.Add(byte(i), []byte(data))
	}
	f.Add(byte(4), []byte(`{"version":1,"entity_type":"topics","entity_name":"t"}`))
	f.Add(byte(9), []byte("7"))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		v, again, err := decoders[int(which)%len(decoders)](data)
		if a, b := fmt.Sprint(v), fmt.Sprint(again); err == nil && a != b { // null and an empty list are the same
			t.Fatalf("%s became %s", a, b)
		}
	})
}
