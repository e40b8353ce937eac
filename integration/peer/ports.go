package peer

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from a range below the kernel's ephemeral ports, so that no outgoing connection sits on one between the probe
// and the broker's own bind.
const firstPort, lastPort = 28000, 31999

var ports struct {
	sync.Mutex
	given map[int]bool
}

// FreePort returns a loopback port that nothing listens on and that this process was not given before.
func FreePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for range 1000 {
		p := firstPort + rand.IntN(lastPort-firstPort+1)
		if ports.given[p] {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			continue
		}
		ln.Close()
		ports.given[p] = true
		return p, nil
	}
	return 0, errors.New("no free port between " + strconv.Itoa(firstPort) + " and " + strconv.Itoa(lastPort))
}
