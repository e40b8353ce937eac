package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"gregor/integration/peer"
)

// child is this program in another role, in a process of its own so that its CPU time can be told: a bare server to compare with.
type child struct {
	cmd  *exec.Cmd
	addr string
}

// startChild starts a role that prints the address it listens on.
func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, args...)}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscanln(out, &c.addr); err != nil {
		c.close()
		return nil, fmt.Errorf("%s printed no address: %w", args[0], err)
	}
	return c, nil
}

// cpu is the user and system time used so far.
func (c *child) cpu() (time.Duration, error) {
	u, err := peer.ReadUsage(c.cmd.Process.Pid)
	return u.CPU, err
}

// close ends it; it may have ended already.
func (c *child) close() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
