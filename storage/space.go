package storage

import (
	"errors"
	"fmt"
	"syscall"

	"gregor/internal/vfs"
	"gregor/storage/checkpoint"
)

// NoSpaceError refuses a client's records because their directory has less free space than Options.MinFreeBytes.
type NoSpaceError struct {
	Dir   string
	Floor int64
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("log directory %s has less than %d bytes free (gregor.log.dir.min.free.bytes): records are refused until there is more", e.Dir, e.Floor)
}

// errReplaced is why a directory goes offline whose path no longer leads to what was locked when it was opened.
var errReplaced = errors.New("the directory was removed or another one is in its place: what is written through open files would be lost")

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// checkDirs looks at each live directory: whether it is still the one that was opened, how much space is left, and whether what is
// kept back for the checkpoints is there.
func (m *Manager) checkDirs() {
	for _, d := range m.dirs {
		if !d.online() {
			continue
		}
		st, err := m.fs.Stat(d.path)
		if isNotExist(err) || err == nil && !vfs.SameFile(st, d.opened) {
			err = errReplaced
		}
		if err != nil {
			d.fail("checking it", err)
			continue
		}
		d.keepReserve()
		if err := d.checkSpace(); err != nil {
			d.fail("asking for its free space", err)
		}
	}
}

// checkSpace compares the free space with the floor. Records are taken again only when a tenth of the floor more than the floor is
// free, so that a disk at its brink does not change its mind with every segment that retention removes.
func (d *logDir) checkSpace() error {
	floor := d.m.opt.MinFreeBytes
	if floor <= 0 {
		return nil
	}
	d.spaceMu.Lock()
	defer d.spaceMu.Unlock()
	free, _, err := d.m.fs.Free(d.path)
	if err != nil {
		return err
	}
	d.headroom.Store(free - floor)
	switch full := d.full.Load(); {
	case !full && free < floor:
		d.full.Store(true)
		d.m.log.Warnf("Log directory %s has %d bytes free, less than gregor.log.dir.min.free.bytes=%d: records are refused until %d are free; "+
			"consuming, deleting and retention go on", d.path, free, floor, floor+floor/10)
	case full && free >= floor+floor/10:
		d.full.Store(false)
		d.m.log.Infof("Log directory %s has %d bytes free again: records are taken", d.path, free)
	}
	return nil
}

// room tells whether n more bytes of a client's records may be written. Between two looks at the disk what is appended is counted.
func (d *logDir) room(n int) error {
	floor := d.m.opt.MinFreeBytes
	if floor <= 0 {
		return nil
	}
	if !d.full.Load() {
		if d.headroom.Add(int64(-n)) >= 0 {
			return nil
		}
		if err := d.checkSpace(); err != nil {
			return d.fail("asking for its free space", err)
		}
		if !d.full.Load() {
			return nil
		}
	}
	return &NoSpaceError{d.path, floor}
}

// outOfSpace is called when the disk was full although the floor had not been reached when it was last looked at.
func (d *logDir) outOfSpace() error {
	if err := d.checkSpace(); err != nil {
		return d.fail("asking for its free space", err)
	}
	d.headroom.Store(0)
	return &NoSpaceError{d.path, d.m.opt.MinFreeBytes}
}

// reserveFile holds space back for the checkpoints: it is given up when one of them cannot be written because the disk is full.
const reserveFile = ".gregor.reserve"

// reserveSize is what the largest checkpoint needs beside its predecessor, generously.
func (d *logDir) reserveSize() int64 { return 64<<10 + 128*int64(d.logs.Load()) }

// keepReserve makes the reserve, or makes it larger, if there is space for it.
func (d *logDir) keepReserve() {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	want := d.reserveSize()
	if d.reserved >= want {
		return
	}
	want += want / 2
	if free, _, err := d.m.fs.Free(d.path); err != nil || free < 2*want {
		return
	}
	if err := d.writeReserve(want); err != nil {
		if !isNoSpace(err) {
			d.fail("writing "+reserveFile, err)
			return
		}
		want = 0
		if err := remove(d.m.fs, d.file(reserveFile)); err != nil {
			d.fail("removing "+reserveFile, err)
		}
	}
	d.reserved = want
}

func (d *logDir) writeReserve(size int64) error {
	f, err := d.m.fs.OpenFile(d.file(reserveFile), flagCreate, 0o644)
	if err != nil {
		return err
	}
	err = vfs.Allocate(f, 0, size)
	if have, e := f.Size(); err == nil && e == nil && have < size {
		_, err = f.WriteAt(make([]byte, size), 0)
	}
	return errors.Join(err, f.Close())
}

// dropReserve gives the reserve up. Under checkpointMu.
func (d *logDir) dropReserve() error {
	d.reserved = 0
	return remove(d.m.fs, d.file(reserveFile))
}

// sparing runs write, and if the disk is full once more without the reserve. Under checkpointMu.
func (d *logDir) sparing(write func() error) error {
	err := write()
	if !isNoSpace(err) {
		return err
	}
	d.m.log.Warnf("Log directory %s is full: giving up the space held back for checkpoints (%s): %v", d.path, reserveFile, err)
	if err := d.dropReserve(); err != nil {
		return err
	}
	return write()
}

func (d *logDir) writeOffsets(name string, lines []checkpoint.Offset) error {
	return d.sparing(func() error { return checkpoint.WriteOffsets(d.m.fs, d.file(name), lines) })
}
