package tree

import (
	"fmt"

	"gregor/zkmeta/jute"
)

// Txn is one transaction of the ordered stream.
type Txn struct {
	Zxid    int64
	Time    int64 // milliseconds since 1970
	Session int64
	Op      jute.Op
	IDs     []jute.ID // whom the client has proved to be
	Body    []byte    // the request after its header, as it came
}

// Append encodes x for a log.
func (x *Txn) Append(b []byte) []byte {
	b = jute.AppendInt64(b, x.Zxid)
	b = jute.AppendInt64(b, x.Time)
	b = jute.AppendInt64(b, x.Session)
	b = jute.AppendInt32(b, int32(x.Op))
	b = jute.AppendInt32(b, int32(len(x.IDs)))
	for _, id := range x.IDs {
		b = jute.AppendString(jute.AppendString(b, id.Scheme), id.ID)
	}
	return append(b, x.Body...)
}

// DecodeTxn reads what Append wrote; the result is views of b.
func DecodeTxn(b []byte) (Txn, error) {
	d := jute.NewDecoder(b)
	x := Txn{Zxid: d.Int64(), Time: d.Int64(), Session: d.Int64(), Op: jute.Op(d.Int32())}
	for range max(d.Count(8), 0) {
		x.IDs = append(x.IDs, jute.ID{Scheme: d.View(), ID: d.View()})
	}
	if d.Err() != nil {
		return Txn{}, fmt.Errorf("transaction: %w", d.Err())
	}
	x.Body = d.Rest()
	return x, nil
}

// IsWrite says whether a request is a transaction.
func IsWrite(op jute.Op) bool {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpDelete, jute.OpSetData, jute.OpSetACL, jute.OpMulti, jute.OpCheckVersion,
		jute.OpCreateSession, jute.OpCloseSession:
		return true
	}
	return false
}

// Session is what outlives a connection. Its timeout is what the client negotiated.
type Session struct {
	ID        int64
	TimeoutMs int32
	Password  [PasswordSize]byte
}

// PasswordSize is the length of a session's password.
const PasswordSize = 16

// NewSessionBody is the body of the transaction that opens a session.
func NewSessionBody(timeoutMs int32, password [PasswordSize]byte) []byte {
	return append(jute.AppendInt32(nil, timeoutMs), password[:]...)
}
