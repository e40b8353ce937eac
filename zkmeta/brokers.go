package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"

	"gregor/internal/jvm"
)

// Endpoint is one advertised listener of a broker.
type Endpoint struct {
	Listener string // name
	Protocol string // PLAINTEXT, SSL, ...
	Host     string
	Port     int32
}

func (e Endpoint) String() string {
	host := e.Host
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return e.Listener + "://" + host + ":" + strconv.Itoa(int(e.Port))
}

// BrokerInfo is what /brokers/ids/N tells of a broker.
type BrokerInfo struct {
	ID        int32
	Endpoints []Endpoint
	Rack      *string
	// Version of the JSON: 5 with inter.broker.protocol.version 2.7, 4 from 0.10.0, 2 before; 0 means 5.
	Version int
	JmxPort int32 // -1: none
	// Timestamp in ms; 0 means now.
	Timestamp int64
	// Epoch is the znode's czxid; only set by reading.
	Epoch int64
	// PowerLost: the ends of the broker's logs may have gone with a loss of power. It is a field of its own, which others pass over.
	PowerLost bool
}

// ErrBrokerIDInUse is a registration under an id that a live session holds.
var ErrBrokerIDInUse = errors.New("the broker id is in use")

const powerLostField = "gregor_power_lost"

// EncodeBroker writes /brokers/ids/N.
func EncodeBroker(b BrokerInfo) []byte {
	version, ts := b.Version, b.Timestamp
	if version == 0 {
		version = 5
	}
	if ts == 0 {
		ts = time.Now().UnixMilli()
	}
	host, port := "null", int32(-1) // for clients so old that they know only PLAINTEXT
	eps, protocols := []byte{'['}, []byte{'{'}
	for i, e := range b.Endpoints {
		if i > 0 {
			eps = append(eps, ',')
			protocols = append(protocols, ',')
		}
		eps = jvm.AppendJSON(eps, e.String())
		protocols = append(jvm.AppendJSON(protocols, e.Listener), ':')
		protocols = jvm.AppendJSON(protocols, e.Protocol)
		if e.Protocol == "PLAINTEXT" && host == "null" {
			host, port = string(jsonString(e.Host)), e.Port
		}
	}
	var o object
	if b.PowerLost {
		o = append(o, field{powerLostField, []byte("true")})
	}
	if version >= 5 {
		o = append(o, field{"features", []byte("{}")})
	}
	if version >= 4 {
		o = append(o, field{"listener_security_protocol_map", append(protocols, '}')})
	}
	o = append(o, field{"endpoints", append(eps, ']')})
	if b.Rack != nil && version >= 3 {
		o = append(o, field{"rack", jsonString(*b.Rack)})
	}
	o = append(o, field{"jmx_port", jsonInt(int64(b.JmxPort))}, field{"port", jsonInt(int64(port))}, field{"host", []byte(host)},
		field{"version", jsonInt(int64(version))}, field{"timestamp", jsonString(strconv.FormatInt(ts, 10))})
	return o.encode()
}

// DecodeBroker reads /brokers/ids/N of any version.
func DecodeBroker(id int32, data []byte) (BrokerInfo, error) {
	b := BrokerInfo{ID: id, JmxPort: -1}
	o, err := parseObject(data)
	if err == nil {
		err = b.decode(o)
	}
	if err != nil {
		return BrokerInfo{}, fmt.Errorf("%s holds %q: %w", PathBroker(id), data, err)
	}
	return b, nil
}

func (b *BrokerInfo) decode(o object) error {
	if err := o.into("version", &b.Version); err != nil {
		return err
	}
	if b.Version < 1 {
		return fmt.Errorf("version %d of a registration is not known", b.Version)
	}
	var ts string
	if err := errors.Join(o.optional("jmx_port", &b.JmxPort), o.optional("rack", &b.Rack), o.optional("timestamp", &ts), o.optional(powerLostField, &b.PowerLost)); err != nil {
		return err
	}
	b.Timestamp, _ = strconv.ParseInt(ts, 10, 64)
	if b.Version == 1 {
		e := Endpoint{Listener: "PLAINTEXT", Protocol: "PLAINTEXT"}
		if err := errors.Join(o.into("host", &e.Host), o.into("port", &e.Port)); err != nil {
			return err
		}
		b.Endpoints = []Endpoint{e}
		return nil
	}
	var eps []string
	var protocols map[string]string
	if err := errors.Join(o.into("endpoints", &eps), o.optional("listener_security_protocol_map", &protocols)); err != nil {
		return err
	}
	for _, s := range eps {
		e, err := parseEndpoint(s)
		if err != nil {
			return err
		}
		e.Protocol = e.Listener
		if p, ok := protocols[e.Listener]; ok {
			e.Protocol = p
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return nil
}

func parseEndpoint(s string) (Endpoint, error) {
	name, hostport, ok := strings.Cut(s, "://")
	if !ok {
		return Endpoint{}, fmt.Errorf("endpoint %q is not name://host:port", s)
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	p, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	return Endpoint{Listener: strings.ToUpper(name), Host: host, Port: int32(p)}, nil
}

// RegisterBroker makes /brokers/ids/N, and returns the broker's epoch. When another live session holds the id the error wraps
// ErrBrokerIDInUse; a leftover of a session that this Client itself had before is replaced.
func (c *Client) RegisterBroker(ctx context.Context, b BrokerInfo) (epoch int64, err error) {
	path := PathBroker(b.ID)
	for {
		// Made empty and then set, as Kafka does: only the second answer tells the czxid.
		res, err := c.Multi(ctx, []Op{{Kind: OpCreateEphemeral, Path: path}, {Kind: OpSet, Path: path, Data: EncodeBroker(b)}})
		if err == nil {
			return res[1].Stat.Czxid, nil
		}
		if !errors.Is(err, ErrNodeExists) {
			return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
		}
		data, st, err := c.Get(ctx, path)
		switch {
		case errors.Is(err, ErrNoNode):
			continue
		case err != nil:
			return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
		case st.EphemeralOwner == c.SessionID():
			return st.Czxid, nil
		case c.wasOurs(st.EphemeralOwner):
			if err := c.Delete(ctx, path, st.Version); err != nil && !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrBadVersion) {
				return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
			}
			continue
		}
		return 0, fmt.Errorf("register broker %d: %w: %s is held by session 0x%x with %s; give this broker another broker.id, or wait until that session ends",
			b.ID, ErrBrokerIDInUse, path, st.EphemeralOwner, data)
	}
}

// UpdateBroker rewrites this broker's registration, for instance after a change of listeners; its epoch stays.
func (c *Client) UpdateBroker(ctx context.Context, b BrokerInfo) error {
	_, err := c.Set(ctx, PathBroker(b.ID), EncodeBroker(b), AnyVersion)
	return err
}

// UnregisterBroker removes /brokers/ids/N if this session owns it.
func (c *Client) UnregisterBroker(ctx context.Context, id int32) error {
	return c.removeEphemeral(ctx, PathBroker(id), func(owner int64) bool { return owner == c.SessionID() })
}

func (c *Client) wasOurs(session int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.former[session]
}

// ClearStale removes /brokers/ids/N and /controller where they belong to the session that this broker had before it was killed, so
// that it need not wait for that session to expire. The caller holds the lock of the broker's directories, which proves that
// the former process is gone, and kept its session id beside the lock. It says what it removed.
func (c *Client) ClearStale(ctx context.Context, brokerID int32, formerSession int64) (removed []string, err error) {
	if formerSession == 0 || formerSession == c.SessionID() {
		return nil, nil
	}
	for _, path := range []string{PathController, PathBroker(brokerID)} {
		gone := false
		err := c.removeEphemeral(ctx, path, func(owner int64) bool { gone = owner == formerSession; return gone })
		if err != nil {
			return removed, fmt.Errorf("remove what session 0x%x left: %w", formerSession, err)
		}
		if gone {
			removed = append(removed, path)
		}
	}
	return removed, nil
}

func (c *Client) removeEphemeral(ctx context.Context, path string, ours func(owner int64) bool) error {
	_, st, err := c.Get(ctx, path)
	if errors.Is(err, ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.EphemeralOwner == 0 || !ours(st.EphemeralOwner) {
		return nil
	}
	err = c.Delete(ctx, path, st.Version)
	if errors.Is(err, ErrNoNode) || errors.Is(err, ErrBadVersion) {
		return nil
	}
	return err
}

// GenerateBrokerID returns the next id of /brokers/seqid, above reserved.broker.max.id.
func (c *Client) GenerateBrokerID(ctx context.Context, reservedMax int32) (int32, error) {
	for {
		st, err := c.Set(ctx, PathBrokerSeqID, nil, AnyVersion)
		if err == nil {
			return reservedMax + st.Version, nil
		}
		if !errors.Is(err, ErrNoNode) {
			return 0, fmt.Errorf("generate a broker id: %w", err)
		}
		err = c.createMissing(ctx, []Op{{Kind: OpCreate, Path: PathBrokers}, {Kind: OpCreate, Path: PathBrokerSeqID}})
		if err != nil {
			return 0, fmt.Errorf("generate a broker id: %w", err)
		}
	}
}

// BrokerIDsW lists the registered brokers, in order, and watches for others.
func (c *Client) BrokerIDsW(ctx context.Context) ([]int32, error) {
	names, _, err := c.ChildrenW(ctx, PathBrokerIDs)
	return parseIDs(names), err
}

// BrokerIDs lists the registered brokers, in order.
func (c *Client) BrokerIDs(ctx context.Context) ([]int32, error) {
	names, _, err := c.Children(ctx, PathBrokerIDs)
	return parseIDs(names), err
}

func parseIDs(names []string) []int32 {
	var ids []int32
	for _, n := range names {
		if id, err := strconv.ParseInt(n, 10, 32); err == nil {
			ids = append(ids, int32(id))
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	return ids
}

// Broker reads one registration; ErrNoNode when it is not there.
func (c *Client) Broker(ctx context.Context, id int32) (BrokerInfo, error) {
	return c.readBroker(ctx, id, c.Get)
}

// BrokerW reads one registration and watches it.
func (c *Client) BrokerW(ctx context.Context, id int32) (BrokerInfo, error) {
	return c.readBroker(ctx, id, c.GetW)
}

func (c *Client) readBroker(ctx context.Context, id int32, get func(context.Context, string) ([]byte, Stat, error)) (BrokerInfo, error) {
	data, st, err := get(ctx, PathBroker(id))
	if err != nil {
		return BrokerInfo{}, err
	}
	b, err := DecodeBroker(id, data)
	b.Epoch = st.Czxid
	return b, err
}

// Brokers reads all registrations, in the order of their ids. One that cannot be understood is left out, with a line in the log.
func (c *Client) Brokers(ctx context.Context) ([]BrokerInfo, error) {
	ids, err := c.BrokerIDs(ctx)
	if err != nil {
		return nil, err
	}
	var out []BrokerInfo
	for _, id := range ids {
		b, err := c.Broker(ctx, id)
		switch {
		case errors.Is(err, ErrNoNode):
		case err != nil && ctx.Err() == nil && b.ID == 0 && len(b.Endpoints) == 0 && c.Connected():
			c.opt.Log.Warnf("broker %d is left out: %v", id, err)
		case err != nil:
			return nil, err
		default:
			out = append(out, b)
		}
	}
	return out, nil
}
