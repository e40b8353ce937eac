package jute

import "strconv"

// Op is the type of a request.
type Op int32

// The requests of ZooKeeper 3.8.
const (
	OpCheckVersion     Op = 13
	OpCreate           Op = 1
	OpDelete           Op = 2
	OpExists           Op = 3
	OpGetData          Op = 4
	OpSetData          Op = 5
	OpGetACL           Op = 6
	OpSetACL           Op = 7
	OpGetChildren      Op = 8
	OpSync             Op = 9
	OpPing             Op = 11
	OpGetChildren2     Op = 12
	OpMulti            Op = 14
	OpCreate2          Op = 15
	OpReconfig         Op = 16
	OpCheckWatches     Op = 17
	OpRemoveWatches    Op = 18
	OpCreateContainer  Op = 19
	OpDeleteContainer  Op = 20
	OpCreateTTL        Op = 21
	OpMultiRead        Op = 22
	OpAuth             Op = 100
	OpSetWatches       Op = 101
	OpSASL             Op = 102
	OpGetEphemerals    Op = 103
	OpGetChildrenTotal Op = 104
	OpSetWatches2      Op = 105
	OpAddWatch         Op = 106
	OpWhoAmI           Op = 107
	OpCreateSession    Op = -10
	OpCloseSession     Op = -11
	OpError            Op = -1
)

var opNames = map[Op]string{
	OpCreate: "CREA", OpDelete: "DELE", OpExists: "EXIS", OpGetData: "GETD", OpSetData: "SETD", OpGetACL: "GETA",
	OpSetACL: "SETA", OpGetChildren: "GETC", OpSync: "SYNC", OpPing: "PING", OpGetChildren2: "GETC", OpCheckVersion: "CHEC",
	OpMulti: "MULT", OpCreate2: "CREA", OpCheckWatches: "CHKW", OpRemoveWatches: "REMW", OpMultiRead: "MLTR", OpAuth: "AUTH",
	OpSetWatches: "SETW", OpGetEphemerals: "GETE", OpGetChildrenTotal: "GETACN", OpSetWatches2: "STW2", OpAddWatch: "ADDW",
	OpWhoAmI: "HOMI", OpCreateSession: "SESS", OpCloseSession: "CLOS",
}

// String is the short name that the four-letter word cons shows.
func (o Op) String() string {
	if s, ok := opNames[o]; ok {
		return s
	}
	return "op " + strconv.Itoa(int(o))
}

// Code is the error code of a response; 0 is success.
type Code int32

// The error codes that the server gives.
const (
	OK                         Code = 0
	ErrRuntimeInconsistency    Code = -2
	ErrMarshalling             Code = -5
	ErrUnimplemented           Code = -6
	ErrBadArguments            Code = -8
	ErrNoNode                  Code = -101
	ErrNoAuth                  Code = -102
	ErrBadVersion              Code = -103
	ErrNoChildrenForEphemerals Code = -108
	ErrNodeExists              Code = -110
	ErrNotEmpty                Code = -111
	ErrSessionExpired          Code = -112
	ErrInvalidACL              Code = -114
	ErrAuthFailed              Code = -115
	ErrNoWatcher               Code = -121
)

var codeNames = map[Code]string{
	OK: "ok", ErrRuntimeInconsistency: "runtime inconsistency", ErrMarshalling: "marshalling error",
	ErrUnimplemented: "unimplemented", ErrBadArguments: "bad arguments", ErrNoNode: "no node", ErrNoAuth: "not authorised",
	ErrBadVersion: "bad version", ErrNoChildrenForEphemerals: "ephemeral nodes have no children",
	ErrNodeExists: "node exists", ErrNotEmpty: "node has children", ErrSessionExpired: "session expired",
	ErrInvalidACL: "invalid ACL", ErrAuthFailed: "authentication failed", ErrNoWatcher: "no such watch",
}

// Error makes a Code usable as an error.
func (c Code) Error() string {
	if s, ok := codeNames[c]; ok {
		return "zookeeper: " + s
	}
	return "zookeeper: error " + strconv.Itoa(int(c))
}

// EventType is what a watch saw.
type EventType int32

// What watches see.
const (
	NodeCreated         EventType = 1
	NodeDeleted         EventType = 2
	NodeDataChanged     EventType = 3
	NodeChildrenChanged EventType = 4
)

// Numbers that stand in a request's xid for requests and messages outside the order of a session.
const (
	XidEvent = -1
	XidPing  = -2
	XidAuth  = -4
)

// StateConnected is the session state that every watch event carries.
const StateConnected int32 = 3

// MaxBuffer is jute.maxbuffer's default: the longest frame that a server takes.
const MaxBuffer = 0xfffff
