package vfs

import (
	"io/fs"
	"os"
	"sync"
)

// lockSet remembers the files this process has locked, by identity rather than by name.
type lockSet struct {
	mu   sync.Mutex
	held []fs.FileInfo
}

func (s *lockSet) add(st fs.FileInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if os.SameFile(h, st) {
			return false
		}
	}
	s.held = append(s.held, st)
	return true
}

func (s *lockSet) remove(st fs.FileInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.held {
		if os.SameFile(h, st) {
			s.held = append(s.held[:i], s.held[i+1:]...)
			return
		}
	}
}

type fileKeeper struct {
	mu sync.Mutex
	fs []*os.File
}

func (k *fileKeeper) keep(f *os.File) {
	k.mu.Lock()
	k.fs = append(k.fs, f)
	k.mu.Unlock()
}

var (
	heldLocks       lockSet
	leakedLockFiles fileKeeper
)
