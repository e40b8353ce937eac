package zkmeta

import (
	"context"
	"errors"
)

// Subtree lists a znode and all below it, children before their parents. A znode that is not there gives an empty list.
func (c *Client) Subtree(ctx context.Context, root string) ([]string, error) {
	levels := [][]string{{root}}
	for {
		level := levels[len(levels)-1]
		below := make([][]string, len(level))
		there := make([]bool, len(level))
		err := forEach(len(level), func(i int) error {
			names, _, err := c.Children(ctx, level[i])
			if errors.Is(err, ErrNoNode) {
				return nil
			}
			there[i] = err == nil
			below[i] = names
			return err
		})
		if err != nil {
			return nil, err
		}
		var here, next []string
		for i, p := range level {
			if there[i] {
				here = append(here, p)
			}
			for _, n := range below[i] {
				next = append(next, p+"/"+n)
			}
		}
		levels[len(levels)-1] = here
		if len(next) == 0 {
			break
		}
		levels = append(levels, next)
	}
	var out []string
	for i := len(levels) - 1; i >= 0; i-- {
		out = append(out, levels[i]...)
	}
	return out, nil
}
