package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-zookeeper/zk"
)

// OpKind is a kind of write within a Multi.
type OpKind uint8

// Kinds of writes.
const (
	OpCreate OpKind = iota + 1
	OpCreateEphemeral
	OpSet
	OpDelete
	OpCheck
)

// Op is one write of a Multi. Version counts for OpSet, OpDelete and OpCheck.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Version int32
}

// size estimates the bytes of o in a request: path, data, and the fixed fields including an ACL.
func (o Op) size() int { return len(o.Path) + len(o.Data) + 96 }

// MultiError is a Multi that did nothing, because its operation number Index failed with Err.
type MultiError struct {
	Index int
	Op    Op
	Err   error
}

func (e *MultiError) Error() string {
	verb := [...]string{"", "create", "create", "set", "delete", "check the version of"}[e.Op.Kind]
	return fmt.Sprintf("zookeeper: %s %s: %v", verb, e.Op.Path, e.Err)
}

func (e *MultiError) Unwrap() error { return e.Err }

// OpResult is what one operation of a successful Multi left behind; Stat is only that of OpSet.
type OpResult struct {
	Stat Stat
}

// Multi carries out all the operations or none. When none: *MultiError says which one failed. The operations must fit into one request
// (MultiBatches splits). After a lost connection it is tried again, so that a Multi may fail on its own first attempt's success:
// whoever cannot tell must read.
func (c *Client) Multi(ctx context.Context, ops []Op) ([]OpResult, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	size := 0
	for _, o := range ops {
		size += o.size() + len(c.chroot)
	}
	if err := fits(strconv.Itoa(len(ops))+" operations", size); err != nil {
		return nil, err
	}
	type out struct {
		res []zk.MultiResponse
		err error
	}
	r, err := call(ctx, c, fmt.Sprintf("multi of %d from", len(ops)), ops[0].Path, func(k *zk.Conn) (out, error) {
		req := make([]any, len(ops))
		for i, o := range ops {
			req[i] = c.libraryOp(o)
		}
		res, err := k.Multi(req...)
		if connectionLost(err) {
			return out{}, err
		}
		return out{res, err}, nil
	})
	if err != nil {
		return nil, err
	}
	if r.err != nil {
		for i, m := range r.res {
			if m.Error != nil && i < len(ops) {
				return nil, &MultiError{i, ops[i], m.Error}
			}
		}
		return nil, fmt.Errorf("zookeeper: multi of %d from %s: %w", len(ops), ops[0].Path, r.err)
	}
	results := make([]OpResult, len(ops))
	for i := range r.res {
		if i < len(results) {
			results[i].Stat = statOf(r.res[i].Stat)
		}
	}
	return results, nil
}

func (c *Client) libraryOp(o Op) any {
	path := c.absolute(o.Path)
	switch o.Kind {
	case OpCreate:
		return &zk.CreateRequest{Path: path, Data: o.Data, Acl: defaultACL(c.opt.SetACL, o.Path), Flags: zk.FlagPersistent}
	case OpCreateEphemeral:
		return &zk.CreateRequest{Path: path, Data: o.Data, Acl: defaultACL(c.opt.SetACL, o.Path), Flags: zk.FlagEphemeral}
	case OpSet:
		return &zk.SetDataRequest{Path: path, Data: o.Data, Version: o.Version}
	case OpDelete:
		return &zk.DeleteRequest{Path: path, Version: o.Version}
	default:
		return &zk.CheckVersionRequest{Path: path, Version: o.Version}
	}
}

// createMissing makes the persistent znodes of ops (parents first) that are not there yet: one pipelined round to look, one multi to make.
func (c *Client) createMissing(ctx context.Context, ops []Op) error {
	for {
		missing, err := c.missing(ctx, ops)
		if err != nil || len(missing) == 0 {
			return err
		}
		_, err = c.Multi(ctx, missing)
		if !errors.Is(err, ErrNodeExists) { // another broker may be starting too
			return err
		}
	}
}

func (c *Client) missing(ctx context.Context, ops []Op) ([]Op, error) {
	found := make([]bool, len(ops))
	err := forEach(len(ops), func(i int) error {
		ok, _, err := c.Exists(ctx, ops[i].Path)
		found[i] = ok
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Op
	for i, o := range ops {
		if !found[i] {
			out = append(out, o)
		}
	}
	return out, nil
}

// forEach runs f for 0..n-1, all at once but for a bound that keeps the connection busy, and returns the first error.
func forEach(n int, f func(i int) error) error {
	const workers = 256
	w := min(n, workers)
	errs := make(chan error, w)
	for k := range w {
		go func() {
			var first error
			for i := k; i < n; i += w {
				if err := f(i); err != nil {
					first = err
					break
				}
			}
			errs <- first
		}()
	}
	var first error
	for range w {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
