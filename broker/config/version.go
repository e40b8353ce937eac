package config

import (
	"fmt"
	"strings"
)

// Version is a value of inter.broker.protocol.version or of a message format: its place in the order of Kafka's versions.
type Version int

// versions in their order. A short form ("2.7") is the last of its group.
var versions = []string{
	"0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0-IV0", "0.10.0-IV1", "0.10.1-IV0", "0.10.1-IV1", "0.10.1-IV2", "0.10.2-IV0",
	"0.11.0-IV0", "0.11.0-IV1", "0.11.0-IV2", "1.0-IV0", "1.1-IV0", "2.0-IV0", "2.0-IV1", "2.1-IV0", "2.1-IV1", "2.1-IV2",
	"2.2-IV0", "2.2-IV1", "2.3-IV0", "2.3-IV1", "2.4-IV0", "2.4-IV1", "2.5-IV0", "2.6-IV0", "2.7-IV0", "2.7-IV1", "2.7-IV2",
}

// LatestVersion is the newest version that Gregor speaks.
const LatestVersion = Version(30)

// The versions at which something changes between brokers or on disk.
const (
	V0_10_0_IV0 = Version(4)
	V0_11_0_IV0 = Version(10)
	V2_7_IV2    = Version(30)
)

// ParseVersion takes 2.7, 2.7-IV2 and 2.7.2 alike; what comes after the second segment (the third, before 1.0) does not count.
func ParseVersion(s string) (Version, error) {
	n := 2
	if strings.HasPrefix(s, "0.") {
		n = 3
	}
	segments := strings.Split(s, ".")
	key := strings.Join(segments[:min(n, len(segments))], ".")
	for i := len(versions) - 1; i >= 0; i-- {
		if short, _, _ := strings.Cut(versions[i], "-"); versions[i] == key || short == key {
			return Version(i), nil
		}
	}
	return 0, fmt.Errorf("Version `%s` is not a valid version", s)
}

func (v Version) String() string { return versions[v] }

// Short is the version without its -IV.
func (v Version) Short() string {
	s, _, _ := strings.Cut(versions[v], "-")
	return s
}

// RecordVersion is the message format (magic) of the version: 0, 1 or 2.
func (v Version) RecordVersion() int8 {
	switch {
	case v >= V0_11_0_IV0:
		return 2
	case v >= V0_10_0_IV0:
		return 1
	}
	return 0
}
