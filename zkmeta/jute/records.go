package jute

// ConnectRequest opens or re-attaches to a session.
type ConnectRequest struct {
	Version      int32
	LastZxidSeen int64
	TimeoutMs    int32
	SessionID    int64
	Password     []byte
	HasReadOnly  bool // the byte is absent in clients older than 3.4
	ReadOnly     bool
}

// Decode reads r; the password is a view.
func (r *ConnectRequest) Decode(d *Decoder) {
	r.Version = d.Int32()
	r.LastZxidSeen = d.Int64()
	r.TimeoutMs = d.Int32()
	r.SessionID = d.Int64()
	r.Password = d.Buffer()
	if r.HasReadOnly = len(d.buf) > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// Append encodes r.
func (r *ConnectRequest) Append(b []byte) []byte {
	b = AppendInt32(b, r.Version)
	b = AppendInt64(b, r.LastZxidSeen)
	b = AppendInt32(b, r.TimeoutMs)
	b = AppendInt64(b, r.SessionID)
	b = AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// ConnectResponse grants a session, or refuses it with id and timeout 0.
type ConnectResponse struct {
	Version     int32
	TimeoutMs   int32
	SessionID   int64
	Password    []byte
	HasReadOnly bool
	ReadOnly    bool
}

// Append encodes r.
func (r *ConnectResponse) Append(b []byte) []byte {
	b = AppendInt32(b, r.Version)
	b = AppendInt32(b, r.TimeoutMs)
	b = AppendInt64(b, r.SessionID)
	b = AppendBuffer(b, r.Password)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// Decode reads r; the password is a view.
func (r *ConnectResponse) Decode(d *Decoder) {
	r.Version = d.Int32()
	r.TimeoutMs = d.Int32()
	r.SessionID = d.Int64()
	r.Password = d.Buffer()
	if r.HasReadOnly = len(d.buf) > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// RequestHeader precedes every request.
type RequestHeader struct {
	Xid int32
	Op  Op
}

// Append encodes h.
func (h RequestHeader) Append(b []byte) []byte {
	return AppendInt32(AppendInt32(b, h.Xid), int32(h.Op))
}

// Decode reads h.
func (h *RequestHeader) Decode(d *Decoder) { h.Xid, h.Op = d.Int32(), Op(d.Int32()) }

// ReplyHeader precedes every response and event.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Code Code
}

// Append encodes h.
func (h ReplyHeader) Append(b []byte) []byte {
	return AppendInt32(AppendInt64(AppendInt32(b, h.Xid), h.Zxid), int32(h.Code))
}

// Decode reads h.
func (h *ReplyHeader) Decode(d *Decoder) {
	h.Xid, h.Zxid, h.Code = d.Int32(), d.Int64(), Code(d.Int32())
}

// Stat is what a znode tells about itself. Times are milliseconds since 1970.
type Stat struct {
	Czxid, Mzxid                int64
	Ctime, Mtime                int64
	Version, Cversion, Aversion int32
	EphemeralOwner              int64
	DataLength, NumChildren     int32
	Pzxid                       int64
}

// Append encodes s.
func (s *Stat) Append(b []byte) []byte {
	b = AppendInt64(b, s.Czxid)
	b = AppendInt64(b, s.Mzxid)
	b = AppendInt64(b, s.Ctime)
	b = AppendInt64(b, s.Mtime)
	b = AppendInt32(b, s.Version)
	b = AppendInt32(b, s.Cversion)
	b = AppendInt32(b, s.Aversion)
	b = AppendInt64(b, s.EphemeralOwner)
	b = AppendInt32(b, s.DataLength)
	b = AppendInt32(b, s.NumChildren)
	return AppendInt64(b, s.Pzxid)
}

// Decode reads s.
func (s *Stat) Decode(d *Decoder) {
	s.Czxid = d.Int64()
	s.Mzxid = d.Int64()
	s.Ctime = d.Int64()
	s.Mtime = d.Int64()
	s.Version = d.Int32()
	s.Cversion = d.Int32()
	s.Aversion = d.Int32()
	s.EphemeralOwner = d.Int64()
	s.DataLength = d.Int32()
	s.NumChildren = d.Int32()
	s.Pzxid = d.Int64()
}

// ID names who a connection is, or whom an ACL entry means.
type ID struct{ Scheme, ID string }

// ACL grants permissions to an ID.
type ACL struct {
	Perms int32
	ID    ID
}

// The permissions of an ACL.
const (
	PermRead   int32 = 1
	PermWrite  int32 = 2
	PermCreate int32 = 4
	PermDelete int32 = 8
	PermAdmin  int32 = 16
	PermAll    int32 = 31
)

// AppendACLs encodes a vector of ACL entries.
func AppendACLs(b []byte, acls []ACL) []byte {
	b = AppendInt32(b, int32(len(acls)))
	for i := range acls {
		b = AppendInt32(b, acls[i].Perms)
		b = AppendString(b, acls[i].ID.Scheme)
		b = AppendString(b, acls[i].ID.ID)
	}
	return b
}

// ACLs reads a vector of ACL entries whose strings are views.
func (d *Decoder) ACLs() []ACL {
	n := d.Count(12)
	if n <= 0 {
		return nil
	}
	out := make([]ACL, 0, min(n, 16))
	for range n {
		out = append(out, ACL{Perms: d.Int32(), ID: ID{Scheme: d.View(), ID: d.View()}})
		if d.err != nil {
			return nil
		}
	}
	return out
}

// CreateRequest makes a znode (OpCreate, OpCreate2).
type CreateRequest struct {
	Path  string
	Data  []byte
	ACLs  []ACL
	Flags int32
}

// The flags of a create.
const (
	FlagEphemeral  int32 = 1
	FlagSequential int32 = 2
)

// Decode reads r as views.
func (r *CreateRequest) Decode(d *Decoder) {
	r.Path, r.Data, r.ACLs, r.Flags = d.View(), d.Buffer(), d.ACLs(), d.Int32()
}

// Append encodes r.
func (r *CreateRequest) Append(b []byte) []byte {
	b = AppendBuffer(AppendString(b, r.Path), r.Data)
	return AppendInt32(AppendACLs(b, r.ACLs), r.Flags)
}

// PathVersion is a path and the version that it must have, -1 for any (OpDelete, OpCheckVersion).
type PathVersion struct {
	Path    string
	Version int32
}

// Decode reads r as a view.
func (r *PathVersion) Decode(d *Decoder) { r.Path, r.Version = d.View(), d.Int32() }

// Append encodes r.
func (r *PathVersion) Append(b []byte) []byte { return AppendInt32(AppendString(b, r.Path), r.Version) }

// PathWatch is a path and whether to watch it (OpExists, OpGetData, OpGetChildren, OpGetChildren2).
type PathWatch struct {
	Path  string
	Watch bool
}

// Decode reads r as a view.
func (r *PathWatch) Decode(d *Decoder) { r.Path, r.Watch = d.View(), d.Bool() }

// Append encodes r.
func (r *PathWatch) Append(b []byte) []byte { return AppendBool(AppendString(b, r.Path), r.Watch) }

// SetDataRequest replaces a znode's data (OpSetData).
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// Decode reads r as views.
func (r *SetDataRequest) Decode(d *Decoder) {
	r.Path, r.Data, r.Version = d.View(), d.Buffer(), d.Int32()
}

// Append encodes r.
func (r *SetDataRequest) Append(b []byte) []byte {
	return AppendInt32(AppendBuffer(AppendString(b, r.Path), r.Data), r.Version)
}

// SetACLRequest replaces a znode's ACL (OpSetACL).
type SetACLRequest struct {
	Path    string
	ACLs    []ACL
	Version int32
}

// Decode reads r as views.
func (r *SetACLRequest) Decode(d *Decoder) { r.Path, r.ACLs, r.Version = d.View(), d.ACLs(), d.Int32() }

// Append encodes r.
func (r *SetACLRequest) Append(b []byte) []byte {
	return AppendInt32(AppendACLs(AppendString(b, r.Path), r.ACLs), r.Version)
}

// PathMode is a path and a kind of watch (OpCheckWatches, OpRemoveWatches, OpAddWatch).
type PathMode struct {
	Path string
	Mode int32
}

// The kinds of OpCheckWatches and OpRemoveWatches, and of OpAddWatch.
const (
	WatchersChildren int32 = 1
	WatchersData     int32 = 2
	WatchersAny      int32 = 3

	AddPersistent          int32 = 0
	AddPersistentRecursive int32 = 1
)

// Decode reads r as a view.
func (r *PathMode) Decode(d *Decoder) { r.Path, r.Mode = d.View(), d.Int32() }

// Append encodes r.
func (r *PathMode) Append(b []byte) []byte { return AppendInt32(AppendString(b, r.Path), r.Mode) }

// SetWatches tells a new connection what the client watches (OpSetWatches, OpSetWatches2).
type SetWatches struct {
	RelativeZxid                              int64
	Data, Exist, Child, Persistent, Recursive []string
}

// Decode reads r as views; v2 has the persistent watches.
func (r *SetWatches) Decode(d *Decoder, v2 bool) {
	r.RelativeZxid = d.Int64()
	r.Data, r.Exist, r.Child = d.Views(), d.Views(), d.Views()
	if v2 {
		r.Persistent, r.Recursive = d.Views(), d.Views()
	}
}

// Append encodes r.
func (r *SetWatches) Append(b []byte, v2 bool) []byte {
	b = AppendInt64(b, r.RelativeZxid)
	b = AppendStrings(AppendStrings(AppendStrings(b, r.Data), r.Exist), r.Child)
	if v2 {
		b = AppendStrings(AppendStrings(b, r.Persistent), r.Recursive)
	}
	return b
}

// AuthPacket proves who a connection is (OpAuth).
type AuthPacket struct {
	Type   int32
	Scheme string
	Auth   []byte
}

// Decode reads r as views.
func (r *AuthPacket) Decode(d *Decoder) { r.Type, r.Scheme, r.Auth = d.Int32(), d.View(), d.Buffer() }

// Append encodes r.
func (r *AuthPacket) Append(b []byte) []byte {
	return AppendBuffer(AppendString(AppendInt32(b, r.Type), r.Scheme), r.Auth)
}

// MultiHeader precedes each part of a multi and of a multi-read, and ends it.
type MultiHeader struct {
	Op   Op
	Done bool
	Code Code
}

// MultiEnd ends a multi.
var MultiEnd = MultiHeader{Op: OpError, Done: true, Code: -1}

// Decode reads h.
func (h *MultiHeader) Decode(d *Decoder) {
	h.Op, h.Done, h.Code = Op(d.Int32()), d.Bool(), Code(d.Int32())
}

// Append encodes h.
func (h MultiHeader) Append(b []byte) []byte {
	return AppendInt32(AppendBool(AppendInt32(b, int32(h.Op)), h.Done), int32(h.Code))
}

// AppendMultiError appends the result of a part that failed.
func AppendMultiError(b []byte, c Code) []byte {
	return AppendInt32(MultiHeader{Op: OpError, Code: c}.Append(b), int32(c))
}

// AppendEvent appends a watch event, header included.
func AppendEvent(b []byte, t EventType, path string) []byte {
	b = ReplyHeader{Xid: XidEvent, Zxid: -1}.Append(b)
	return AppendString(AppendInt32(AppendInt32(b, int32(t)), StateConnected), path)
}

// AppendMultiRead encodes the body of an OpMultiRead that gets the data of every path, without watches.
func AppendMultiRead(b []byte, paths []string) []byte {
	for _, p := range paths {
		b = MultiHeader{Op: OpGetData, Code: -1}.Append(b)
		b = (&PathWatch{Path: p}).Append(b)
	}
	return MultiEnd.Append(b)
}

// ReadResult is one answer of an OpMultiRead of data.
type ReadResult struct {
	Code Code
	Data []byte // a view; nil when the znode has none
	Stat Stat
}

// DecodeMultiRead reads the answers to AppendMultiRead, in its order, and gives each to f.
func DecodeMultiRead(body []byte, f func(i int, r *ReadResult)) error {
	d := NewDecoder(body)
	for i := 0; ; i++ {
		var h MultiHeader
		h.Decode(&d)
		if d.err != nil || h.Done {
			return d.err
		}
		var r ReadResult
		if h.Op == OpError {
			r.Code = Code(d.Int32())
		} else {
			r.Data = d.Buffer()
			r.Stat.Decode(&d)
		}
		if d.err != nil {
			return d.err
		}
		f(i, &r)
	}
}
