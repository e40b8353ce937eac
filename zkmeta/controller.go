package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// PartitionState is what /brokers/topics/T/partitions/P/state holds.
type PartitionState struct {
	Leader          int32 // -1: none
	LeaderEpoch     int32
	ISR             []int32
	ControllerEpoch int32
	Version         int32 // of the znode
	// Written is the znode's mzxid, when it was read by PartitionStates.
	Written int64
}

// EncodePartitionState writes /brokers/topics/T/partitions/P/state.
func EncodePartitionState(s PartitionState) []byte {
	b := make([]byte, 0, 96)
	b = append(b, `{"controller_epoch":`...)
	b = strconv.AppendInt(b, int64(s.ControllerEpoch), 10)
	b = append(b, `,"leader":`...)
	b = strconv.AppendInt(b, int64(s.Leader), 10)
	b = append(b, `,"version":1,"leader_epoch":`...)
	b = strconv.AppendInt(b, int64(s.LeaderEpoch), 10)
	b = append(b, `,"isr":`...)
	return append(appendInts(b, s.ISR), '}')
}

// DecodePartitionState reads /brokers/topics/T/partitions/P/state.
func DecodePartitionState(data []byte) (PartitionState, error) {
	var s PartitionState
	if quickState(data, &s) {
		return s, nil
	}
	s = PartitionState{}
	o, err := parseObject(data)
	if err == nil {
		err = errors.Join(o.into("leader", &s.Leader), o.into("leader_epoch", &s.LeaderEpoch), o.into("isr", &s.ISR),
			o.into("controller_epoch", &s.ControllerEpoch))
	}
	if err != nil {
		return PartitionState{}, fmt.Errorf("partition state %.200q: %w", data, err)
	}
	return s, nil
}

// quickState reads exactly what EncodePartitionState and Kafka write: a controller that takes over reads 100,000 of them.
func quickState(b []byte, s *PartitionState) bool {
	i := 0
	lit := func(want string) bool {
		if len(b)-i < len(want) || string(b[i:i+len(want)]) != want {
			return false
		}
		i += len(want)
		return true
	}
	num := func(n *int32) bool {
		j := i
		for j < len(b) && (b[j] == '-' && j == i || b[j] >= '0' && b[j] <= '9') {
			j++
		}
		v, err := strconv.ParseInt(string(b[i:j]), 10, 32)
		*n, i = int32(v), j
		return err == nil
	}
	if !(lit(`{"controller_epoch":`) && num(&s.ControllerEpoch) && lit(`,"leader":`) && num(&s.Leader) &&
		lit(`,"version":1,"leader_epoch":`) && num(&s.LeaderEpoch) && lit(`,"isr":[`)) {
		return false
	}
	s.ISR = make([]int32, 0, 3)
	for !lit("]") {
		var n int32
		if len(s.ISR) > 0 && !lit(",") || !num(&n) {
			return false
		}
		s.ISR = append(s.ISR, n)
	}
	return lit("}") && i == len(b)
}

// EncodeController writes /controller.
func EncodeController(brokerID int32, at time.Time) []byte {
	return object{{"version", jsonInt(1)}, {"brokerid", jsonInt(int64(brokerID))},
		{"timestamp", jsonString(strconv.FormatInt(at.UnixMilli(), 10))}}.encode()
}

// DecodeController reads the broker id of /controller.
func DecodeController(data []byte) (int32, error) {
	o, err := parseObject(data)
	var id int32
	if err == nil {
		err = o.into("brokerid", &id)
	}
	if err != nil {
		// Kafka 0.8 and older wrote the bare number.
		if n, nerr := strconv.ParseInt(string(data), 10, 32); nerr == nil {
			return int32(n), nil
		}
		return -1, fmt.Errorf("%s holds %.200q: %w", PathController, data, err)
	}
	return id, nil
}

// ControllerID says which broker is the controller; false when there is none.
func (c *Client) ControllerID(ctx context.Context) (int32, bool, error) {
	return c.controllerID(ctx, c.Get)
}

// ControllerIDW is ControllerID, and watches /controller.
func (c *Client) ControllerIDW(ctx context.Context) (int32, bool, error) {
	return c.controllerID(ctx, c.GetW)
}

func (c *Client) controllerID(ctx context.Context, get func(context.Context, string) ([]byte, Stat, error)) (int32, bool, error) {
	data, _, err := get(ctx, PathController)
	if errors.Is(err, ErrNoNode) {
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	id, err := DecodeController(data)
	return id, err == nil, err
}

// ControllerEpoch is the epoch of a controller, and the version of its znode, with which every write of the controller is fenced.
type ControllerEpoch struct {
	Epoch, ZkVersion int32
	Session          int64 // that owns /controller
}

// Check is the operation that fences a Multi by the epoch.
func (e ControllerEpoch) Check() Op {
	return Op{Kind: OpCheck, Path: PathControllerEpoch, Version: e.ZkVersion}
}

// ErrControllerMoved: another broker is the controller.
var ErrControllerMoved = errors.New("another broker is the controller")

// ElectController makes /controller and counts up /controller_epoch in one step. When this very session owns /controller already - the
// answer to its election was lost - that counts as elected, with the epoch counted up once more, so that none is used twice. When another
// session owns it the error wraps ErrControllerMoved.
func (c *Client) ElectController(ctx context.Context, brokerID int32) (ControllerEpoch, error) {
	for {
		cur, err := c.readControllerEpoch(ctx)
		if err != nil {
			return ControllerEpoch{}, fmt.Errorf("elect broker %d as controller: %w", brokerID, err)
		}
		next := ControllerEpoch{Epoch: cur.Epoch + 1, Session: c.SessionID()}
		bump := Op{Kind: OpSet, Path: PathControllerEpoch, Data: strconv.AppendInt(nil, int64(next.Epoch), 10), Version: cur.ZkVersion}
		create := Op{Kind: OpCreateEphemeral, Path: PathController, Data: EncodeController(brokerID, time.Now())}
		res, err := c.Multi(ctx, []Op{create, bump})
		if err == nil {
			next.ZkVersion = res[1].Stat.Version
			return next, nil
		}
		if errors.Is(err, ErrBadVersion) {
			continue
		}
		if !errors.Is(err, ErrNodeExists) {
			return ControllerEpoch{}, fmt.Errorf("elect broker %d as controller: %w", brokerID, err)
		}
		data, st, err := c.Get(ctx, PathController)
		switch {
		case errors.Is(err, ErrNoNode):
			continue
		case err != nil:
			return ControllerEpoch{}, fmt.Errorf("elect broker %d as controller: %w", brokerID, err)
		case st.EphemeralOwner != c.SessionID():
			return ControllerEpoch{}, fmt.Errorf("elect broker %d as controller: %w: %s", brokerID, ErrControllerMoved, data)
		}
		res, err = c.Multi(ctx, []Op{{Kind: OpCheck, Path: PathController, Version: st.Version}, bump})
		if err == nil {
			next.ZkVersion = res[1].Stat.Version
			return next, nil
		}
		if !errors.Is(err, ErrBadVersion) && !errors.Is(err, ErrNoNode) {
			return ControllerEpoch{}, fmt.Errorf("elect broker %d as controller: %w", brokerID, err)
		}
	}
}

func (c *Client) readControllerEpoch(ctx context.Context) (ControllerEpoch, error) {
	for {
		data, st, err := c.Get(ctx, PathControllerEpoch)
		if err == nil {
			n, perr := strconv.ParseInt(string(data), 10, 32)
			if perr != nil {
				return ControllerEpoch{}, fmt.Errorf("%s holds %q, not a number", PathControllerEpoch, data)
			}
			return ControllerEpoch{Epoch: int32(n), ZkVersion: st.Version}, nil
		}
		if !errors.Is(err, ErrNoNode) {
			return ControllerEpoch{}, err
		}
		err = c.Create(ctx, PathControllerEpoch, []byte("0"))
		if err != nil && !errors.Is(err, ErrNodeExists) {
			return ControllerEpoch{}, err
		}
	}
}

// OwnsController says whether the session that was elected with epoch still owns /controller, and the znode names its broker, and watches
// it. Somebody who writes another id there deposes the controller.
func (c *Client) OwnsController(ctx context.Context, brokerID int32, epoch ControllerEpoch) (bool, error) {
	data, st, err := c.GetW(ctx, PathController)
	if errors.Is(err, ErrNoNode) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := DecodeController(data)
	return err == nil && id == brokerID && st.EphemeralOwner == epoch.Session, nil
}

// ResignController removes /controller if the session that was elected with epoch still owns it.
func (c *Client) ResignController(ctx context.Context, epoch ControllerEpoch) error {
	return c.removeEphemeral(ctx, PathController, func(owner int64) bool { return owner == epoch.Session })
}
