package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// Errors of requests: errors.Is tells them, the text says on which path.
var (
	ErrNoNode     = zk.ErrNoNode
	ErrNodeExists = zk.ErrNodeExists
	ErrBadVersion = zk.ErrBadVersion
	ErrNotEmpty   = zk.ErrNotEmpty
)

// maxRequestBytes bounds one request: ZooKeeper closes the connection on more than jute.maxbuffer, 1 MB by default.
const maxRequestBytes = 900 << 10

// ErrTooLarge is wrapped by the errors of writes that ZooKeeper would not take; nothing was sent.
var ErrTooLarge = errors.New("more than fits into one request to ZooKeeper")

func fits(what string, bytes int) error {
	if bytes > maxRequestBytes {
		return fmt.Errorf("%s of %d bytes: %w (%d)", what, bytes, ErrTooLarge, maxRequestBytes)
	}
	return nil
}

// AnyVersion as the version of a write makes it unconditional.
const AnyVersion int32 = -1

// Stat is what ZooKeeper tells about a znode.
type Stat struct {
	Czxid, Mzxid   int64
	Version        int32
	Cversion       int32
	EphemeralOwner int64
	NumChildren    int32
	Ctime, Mtime   int64 // ms
}

func statOf(s *zk.Stat) Stat {
	if s == nil {
		return Stat{}
	}
	return Stat{Czxid: s.Czxid, Mzxid: s.Mzxid, Version: s.Version, Cversion: s.Cversion, EphemeralOwner: s.EphemeralOwner,
		NumChildren: s.NumChildren, Ctime: s.Ctime, Mtime: s.Mtime}
}

func (c *Client) absolute(path string) string {
	if c.chroot == "" {
		return path
	}
	if path == "/" {
		return c.chroot
	}
	return c.chroot + path
}

func (c *Client) relative(path string) (string, bool) {
	if c.chroot == "" {
		return path, true
	}
	if path == c.chroot {
		return "/", true
	}
	rest, ok := strings.CutPrefix(path, c.chroot+"/")
	return "/" + rest, ok
}

// connectionLost says whether err leaves open if the request was carried out.
func connectionLost(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, zk.ErrConnectionClosed), errors.Is(err, zk.ErrNoServer), errors.Is(err, zk.ErrSessionExpired),
		errors.Is(err, zk.ErrClosing), errors.Is(err, zk.ErrSessionMoved), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
		return true
	}
	var ne net.Error
	return errors.As(err, &ne)
}

// call runs f on the session's connection, again after each reconnect until it got an answer or ctx ends.
func call[T any](ctx context.Context, c *Client, what, path string, f func(*zk.Conn) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var zero T
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return zero, fmt.Errorf("zookeeper: %s %s: %w", what, path, ctx.Err())
	}
	var s *session
	var gen int
	for {
		var err error
		if s, gen, err = c.connected(ctx, s, gen); err != nil {
			<-c.slots
			return zero, fmt.Errorf("zookeeper: %s %s: %w", what, path, err)
		}
		done := make(chan result, 1)
		begun := time.Now()
		go func() {
			v, err := f(s.conn)
			done <- result{v, err}
		}()
		var r result
		select {
		case r = <-done:
		case <-ctx.Done():
			go func() { <-done; <-c.slots }() // the slot is free again when the library lets go of the request
			return zero, fmt.Errorf("zookeeper: %s %s: %w", what, path, ctx.Err())
		}
		if connectionLost(r.err) {
			continue
		}
		if m := c.opt.Metrics; m != nil {
			m.Latency.Since(begun)
		}
		<-c.slots
		if r.err != nil {
			return r.v, fmt.Errorf("zookeeper: %s %s: %w", what, path, r.err)
		}
		return r.v, nil
	}
}

type dataStat struct {
	data []byte
	stat *zk.Stat
}

type childrenStat struct {
	names []string
	stat  *zk.Stat
}

// Get reads a znode.
func (c *Client) Get(ctx context.Context, path string) ([]byte, Stat, error) {
	r, err := call(ctx, c, "get", path, func(k *zk.Conn) (dataStat, error) {
		d, st, err := k.Get(c.absolute(path))
		return dataStat{d, st}, err
	})
	if err != nil {
		return nil, Stat{}, err
	}
	return r.data, statOf(r.stat), nil
}

// GetW reads a znode, and asks for an event when its data changes or it is deleted. Of a znode that is not there it asks for the
// event of its creation, and returns ErrNoNode.
func (c *Client) GetW(ctx context.Context, path string) ([]byte, Stat, error) {
	r, err := call(ctx, c, "get", path, func(k *zk.Conn) (dataStat, error) {
		abs := c.absolute(path)
		key := watchKey{path, false}
		if !c.arm(key) {
			d, st, err := k.Get(abs)
			return dataStat{d, st}, err
		}
		for {
			d, st, _, err := k.GetW(abs)
			if !errors.Is(err, zk.ErrNoNode) {
				if err != nil {
					c.disarm(key)
				}
				return dataStat{d, st}, err
			}
			exists, _, _, err := k.ExistsW(abs)
			if err != nil {
				c.disarm(key)
				return dataStat{}, err
			}
			if !exists {
				return dataStat{}, zk.ErrNoNode
			}
		}
	})
	if err != nil {
		return nil, Stat{}, err
	}
	return r.data, statOf(r.stat), nil
}

// arm notes that a watch is about to be set, and says whether one has to be: a second one for the same path would only pile up in
// the library. It is noted before the request, because the event can come before the request's answer is looked at.
func (c *Client) arm(key watchKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.armed[key] {
		return false
	}
	c.mu.armed[key] = true
	return true
}

func (c *Client) disarm(key watchKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.armed, key)
}

// Children lists a znode's children, in no order.
func (c *Client) Children(ctx context.Context, path string) ([]string, Stat, error) {
	r, err := call(ctx, c, "list", path, func(k *zk.Conn) (childrenStat, error) {
		n, st, err := k.Children(c.absolute(path))
		return childrenStat{n, st}, err
	})
	if err != nil {
		return nil, Stat{}, err
	}
	return r.names, statOf(r.stat), nil
}

// ChildrenW lists a znode's children, and asks for an event when one is added or removed.
func (c *Client) ChildrenW(ctx context.Context, path string) ([]string, Stat, error) {
	r, err := call(ctx, c, "list", path, func(k *zk.Conn) (childrenStat, error) {
		abs := c.absolute(path)
		key := watchKey{path, true}
		if !c.arm(key) {
			n, st, err := k.Children(abs)
			return childrenStat{n, st}, err
		}
		n, st, _, err := k.ChildrenW(abs)
		if err != nil {
			c.disarm(key)
		}
		return childrenStat{n, st}, err
	})
	if err != nil {
		return nil, Stat{}, err
	}
	return r.names, statOf(r.stat), nil
}

// Exists says whether a znode is there.
func (c *Client) Exists(ctx context.Context, path string) (bool, Stat, error) {
	type res struct {
		ok bool
		st *zk.Stat
	}
	r, err := call(ctx, c, "look for", path, func(k *zk.Conn) (res, error) {
		ok, st, err := k.Exists(c.absolute(path))
		return res{ok, st}, err
	})
	if err != nil || !r.ok {
		return false, Stat{}, err
	}
	return true, statOf(r.st), nil
}

// Set writes a znode's data if its version is still the given one (or always, with AnyVersion).
func (c *Client) Set(ctx context.Context, path string, data []byte, version int32) (Stat, error) {
	if err := fits("set "+path, len(path)+len(data)); err != nil {
		return Stat{}, err
	}
	st, err := call(ctx, c, "set", path, func(k *zk.Conn) (*zk.Stat, error) { return k.Set(c.absolute(path), data, version) })
	if err != nil {
		return Stat{}, err
	}
	return statOf(st), nil
}

// Create makes a persistent znode; its parent must be there.
func (c *Client) Create(ctx context.Context, path string, data []byte) error {
	if err := fits("create "+path, len(path)+len(data)); err != nil {
		return err
	}
	_, err := call(ctx, c, "create", path, func(k *zk.Conn) (string, error) {
		return k.Create(c.absolute(path), data, zk.FlagPersistent, defaultACL(c.opt.SetACL, path))
	})
	return err
}

// CreateSequential makes a persistent znode whose name is prefix and a number that ZooKeeper gives, and returns its path.
func (c *Client) CreateSequential(ctx context.Context, prefix string, data []byte) (string, error) {
	p, err := call(ctx, c, "create", prefix, func(k *zk.Conn) (string, error) {
		return k.Create(c.absolute(prefix), data, zk.FlagSequence, defaultACL(c.opt.SetACL, prefix))
	})
	if err != nil {
		return "", err
	}
	p, _ = c.relative(p)
	return p, nil
}

// Delete removes a znode that has no children. One that is already gone is ErrNoNode.
func (c *Client) Delete(ctx context.Context, path string, version int32) error {
	_, err := call(ctx, c, "delete", path, func(k *zk.Conn) (struct{}, error) {
		return struct{}{}, k.Delete(c.absolute(path), version)
	})
	return err
}

// ACL reads a znode's access control list as zkCli.sh writes it: scheme:id:permissions.
func (c *Client) ACL(ctx context.Context, path string) ([]string, error) {
	acl, err := call(ctx, c, "read the ACL of", path, func(k *zk.Conn) ([]zk.ACL, error) {
		a, _, err := k.GetACL(c.absolute(path))
		return a, err
	})
	if err != nil {
		return nil, err
	}
	out := make([]string, len(acl))
	for i, a := range acl {
		perms := ""
		for j, p := range "rwcda" {
			if a.Perms&(1<<j) != 0 {
				perms += string(p)
			}
		}
		out[i] = a.Scheme + ":" + a.ID + ":" + perms
	}
	return out, nil
}

// ensureChroot makes the chroot's path element by element; most often it is there already.
func (c *Client) ensureChroot(ctx context.Context) error {
	for i := 1; i <= len(c.chroot); i++ {
		if i < len(c.chroot) && c.chroot[i] != '/' {
			continue
		}
		path := c.chroot[:i]
		_, err := call(ctx, c, "create", path, func(k *zk.Conn) (struct{}, error) {
			if ok, _, err := k.Exists(path); ok || err != nil {
				return struct{}{}, err
			}
			_, err := k.Create(path, nil, zk.FlagPersistent, defaultACL(c.opt.SetACL, path))
			return struct{}{}, err
		})
		if err != nil && !errors.Is(err, ErrNodeExists) {
			return err
		}
	}
	return nil
}
