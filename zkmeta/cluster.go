package zkmeta

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gregor/internal/jvm"
)

// EnsurePaths makes the persistent znodes that a broker expects, as far as they are missing.
func (c *Client) EnsurePaths(ctx context.Context) error {
	ops := make([]Op, len(persistentPaths))
	for i, p := range persistentPaths {
		ops[i] = Op{Kind: OpCreate, Path: p}
	}
	if err := c.createMissing(ctx, ops); err != nil {
		return fmt.Errorf("make the cluster's paths: %w", err)
	}
	return nil
}

// ClusterID reads the cluster's id, or gives the cluster a random one.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	for {
		data, _, err := c.Get(ctx, PathClusterID)
		if err == nil {
			return decodeClusterID(data)
		}
		if !errors.Is(err, ErrNoNode) {
			return "", err
		}
		id := newClusterID()
		err = c.createMissing(ctx, []Op{
			{Kind: OpCreate, Path: PathCluster},
			{Kind: OpCreate, Path: PathClusterID, Data: encodeClusterID(id)},
		})
		if err != nil {
			return "", fmt.Errorf("give the cluster an id: %w", err)
		} // and read whose id it is now
	}
}

// newClusterID is a random UUID in 22 characters; like Kafka's it never starts with a dash, which scripts would take for an option.
func newClusterID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:])
		b[6] = b[6]&0x0f | 0x40
		b[8] = b[8]&0x3f | 0x80
		if s := base64.RawURLEncoding.EncodeToString(b[:]); !strings.HasPrefix(s, "-") {
			return s
		}
	}
}

func encodeClusterID(id string) []byte {
	return object{{"version", jsonString("1")}, {"id", jsonString(id)}}.encode()
}

func decodeClusterID(data []byte) (string, error) {
	o, err := parseObject(data)
	var id string
	if err == nil {
		err = o.into("id", &id)
	}
	if err != nil {
		return "", fmt.Errorf("%s holds %q: %w", PathClusterID, data, err)
	}
	return id, nil
}

// FeatureStatus says whether the finalized features of /feature count.
type FeatureStatus int32

// Statuses of /feature.
const (
	FeaturesDisabled FeatureStatus = 0
	FeaturesEnabled  FeatureStatus = 1
)

// VersionRange is a finalized feature's range of versions.
type VersionRange struct {
	MinVersionLevel int16 `json:"min_version_level"`
	MaxVersionLevel int16 `json:"max_version_level"`
}

// Features is what /feature holds.
type Features struct {
	Status   FeatureStatus
	Features map[string]VersionRange
	Version  int32 // of the znode
}

// EncodeFeatures writes /feature.
func EncodeFeatures(f Features) []byte {
	b := []byte{'{'}
	keys := make([]string, 0, len(f.Features))
	for k := range f.Features {
		keys = append(keys, k)
	}
	jvm.ScalaOrder(keys, jvm.StringHash)
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = jvm.AppendJSON(b, k)
		b = fmt.Appendf(b, `:{"min_version_level":%d,"max_version_level":%d}`, f.Features[k].MinVersionLevel, f.Features[k].MaxVersionLevel)
	}
	b = append(b, '}')
	return object{{"features", b}, {"version", jsonInt(1)}, {"status", jsonInt(int64(f.Status))}}.encode()
}

// DecodeFeatures reads /feature.
func DecodeFeatures(data []byte) (Features, error) {
	var f Features
	o, err := parseObject(data)
	if err == nil {
		err = o.into("features", &f.Features)
	}
	if err == nil {
		err = o.into("status", &f.Status)
	}
	if err != nil {
		return Features{}, fmt.Errorf("%s holds %q: %w", PathFeature, data, err)
	}
	return f, nil
}

// EnableFeatures does what a controller does with /feature when it starts: it makes the znode, or enables a disabled one.
func (c *Client) EnableFeatures(ctx context.Context) error {
	data, st, err := c.Get(ctx, PathFeature)
	if errors.Is(err, ErrNoNode) {
		err = c.Create(ctx, PathFeature, EncodeFeatures(Features{Status: FeaturesEnabled}))
		if errors.Is(err, ErrNodeExists) {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	f, err := DecodeFeatures(data)
	if err != nil {
		return err
	}
	if f.Status == FeaturesEnabled {
		return nil
	}
	_, err = c.Set(ctx, PathFeature, EncodeFeatures(Features{Status: FeaturesEnabled}), st.Version)
	return err
}

// ProducerIDBlockSize is how many producer ids a broker reserves at a time.
const ProducerIDBlockSize = 1000

// ProducerIDBlock reserves the next block of producer ids, both ends inclusive, for a broker.
func (c *Client) ProducerIDBlock(ctx context.Context, brokerID int32) (start, end int64, err error) {
	for {
		data, st, err := c.Get(ctx, PathProducerIDBlock)
		if err != nil {
			return 0, 0, err
		}
		start = 0
		if len(data) > 0 {
			last, err := decodeBlockEnd(data)
			if err != nil {
				return 0, 0, err
			}
			if last > 1<<63-1-ProducerIDBlockSize {
				return 0, 0, fmt.Errorf("%s holds %q: all producer ids are used up", PathProducerIDBlock, data)
			}
			start = last + 1
		}
		end = start + ProducerIDBlockSize - 1
		_, err = c.Set(ctx, PathProducerIDBlock, encodeBlock(brokerID, start, end), st.Version)
		if errors.Is(err, ErrBadVersion) {
			continue // another broker was faster, or we were, before the connection went: a block lost costs nothing
		}
		return start, end, err
	}
}

func encodeBlock(brokerID int32, start, end int64) []byte {
	return object{{"version", jsonInt(1)}, {"broker", jsonInt(int64(brokerID))},
		{"block_start", jsonString(fmt.Sprint(start))}, {"block_end", jsonString(fmt.Sprint(end))}}.encode()
}

func decodeBlockEnd(data []byte) (int64, error) {
	o, err := parseObject(data)
	var s string
	var n int64
	if err == nil {
		err = o.into("block_end", &s)
	}
	if err == nil {
		n, err = strconv.ParseInt(s, 10, 64)
	}
	if err == nil && n < 0 {
		err = errors.New("the end of a block is negative")
	}
	if err != nil {
		return 0, fmt.Errorf("%s holds %q: %w", PathProducerIDBlock, data, err)
	}
	return n, nil
}
