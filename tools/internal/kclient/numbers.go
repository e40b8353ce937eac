package kclient

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// number is a client property that is a number.
type number struct {
	long  bool
	least int64 // math.MinInt64: any
}

const anyNumber = -1 << 63

// numbers are the numeric properties of Java's producer, consumer and admin client.
var numbers = map[string]number{
	"auto.commit.interval.ms":               {false, 0},
	"batch.size":                            {false, 0},
	"buffer.memory":                         {true, 0},
	"connections.max.idle.ms":               {true, anyNumber},
	"default.api.timeout.ms":                {false, 0},
	"delivery.timeout.ms":                   {false, 0},
	"fetch.max.bytes":                       {false, 0},
	"fetch.max.wait.ms":                     {false, 0},
	"fetch.min.bytes":                       {false, 0},
	"heartbeat.interval.ms":                 {false, anyNumber},
	"linger.ms":                             {true, 0},
	"max.block.ms":                          {true, 0},
	"max.in.flight.requests.per.connection": {false, 1},
	"max.partition.fetch.bytes":             {false, 0},
	"max.poll.interval.ms":                  {false, 1},
	"max.poll.records":                      {false, 1},
	"max.request.size":                      {false, 0},
	"metadata.max.age.ms":                   {true, 0},
	"metadata.max.idle.ms":                  {true, 5000},
	"receive.buffer.bytes":                  {false, -1},
	"reconnect.backoff.max.ms":              {true, 0},
	"reconnect.backoff.ms":                  {true, 0},
	"request.timeout.ms":                    {false, 0},
	"retries":                               {false, 0},
	"retry.backoff.ms":                      {true, 0},
	"send.buffer.bytes":                     {false, -1},
	"session.timeout.ms":                    {false, anyNumber},
	"transaction.timeout.ms":                {false, anyNumber},
}

// Check refuses a property whose value no Java client takes: a number that is none, or one out of its range.
func (c Config) Check() error {
	for _, key := range slices.Sorted(maps.Keys(c.Props)) {
		n, ok := numbers[key]
		if !ok {
			continue
		}
		bits, kind := 32, "INT"
		if n.long {
			bits, kind = 64, "LONG"
		}
		v, err := strconv.ParseInt(strings.TrimSpace(c.Props[key]), 10, bits)
		if err != nil {
			return ConfigError(fmt.Sprintf("Invalid value %s for configuration %s: Not a number of type %s", c.Props[key], key, kind))
		}
		if v < n.least {
			return ConfigError(fmt.Sprintf("Invalid value %d for configuration %s: Value must be at least %d", v, key, n.least))
		}
	}
	return nil
}
