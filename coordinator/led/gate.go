package led

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Gate is a shard's mutex, and whether the shard serves: it is loaded at first, then it serves, and in the end it is gone and does not come
// back. Its zero value is that of a shard that is being loaded.
type Gate struct {
	sync.Mutex
	// Loaded and Gone are guarded by the mutex.
	Loaded, Gone bool
}

// Enter locks the shard if it serves, and returns 0; otherwise it returns the code that says why not, without the lock.
func (g *Gate) Enter() int16 {
	g.Lock()
	switch {
	case g.Gone:
		g.Unlock()
		return kerr.NotCoordinator.Code
	case !g.Loaded:
		g.Unlock()
		return kerr.CoordinatorLoadInProgress.Code
	}
	return 0
}

// IsGone is for a shard's loader: what it reads is not wanted any more.
func (g *Gate) IsGone() bool {
	g.Lock()
	defer g.Unlock()
	return g.Gone
}
