package zkserver

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"gregor/internal/vfs"
	"gregor/zkmeta/jute"
	"gregor/zkmeta/zkserver/tree"
)

// FuzzConfig: no zoo.cfg makes the reader panic, and what it takes is usable.
func FuzzConfig(f *testing.F) {
	f.Add("clientPort=2181\ndataDir=/x\n# c\n4lw.commands.whitelist=srvr, stat\nmaxSessionTimeout=40000\n")
	f.Add("clientPort 0\ndataDir: /x\\\n/y\nserver.1=a\ntickTime=\\")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readConfig(text, "zoo.cfg")
		if err != nil {
			return
		}
		if c.DataDir == "" || c.Address == "" || c.TickTime < 0 || c.MinSessionTimeout < 0 || c.MaxSessionTimeout < 0 || c.MaxClientCnxns < 0 {
			t.Fatalf("%+v", c)
		}
	})
}

// FuzzReplay: whatever stands in the log of transactions, opening it ends with an error or with a tree that opens again alike.
func FuzzReplay(f *testing.F) {
	record := func(b []byte, x tree.Txn) []byte { return appendRecord(b, &x) }
	head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, logMagic), logVersion), 1)
	one := record(nil, tree.Txn{Zxid: 1, Session: 1, Op: jute.OpCreateSession, Body: tree.NewSessionBody(9, [tree.PasswordSize]byte{})})
	two := record(one, tree.Txn{Zxid: 2, Session: 1, Op: jute.OpCreate, Body: (&jute.CreateRequest{Path: "/a", Flags: 1}).Append(nil)})
	f.Add(head, two, true)
	f.Add(head, append(two[:len(two):len(two)], 0, 0, 0, 9, 1, 2), false)
	f.Add(head[:3], []byte{}, false)
	f.Fuzz(func(t *testing.T, head, records []byte, repair bool) {
		if repair { // otherwise the checksum would hide everything behind it
			records = append([]byte(nil), records...)
			for b := records; len(b) > recordHeader; {
				n := binary.BigEndian.Uint32(b)
				if int64(n) > int64(len(b)-recordHeader) {
					break
				}
				body := b[recordHeader : recordHeader+int(n)]
				binary.BigEndian.PutUint32(b[4:], crc32.Checksum(body, castagnoli))
				b = b[recordHeader+int(n):]
			}
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logPrefix+"1"), append(head[:len(head):len(head)], records...), 0o644); err != nil {
			t.Fatal(err)
		}
		nodes, zxid := 0, int64(0)
		for i := range 2 {
			s, tr, err := openStore(vfs.OS, dir, dir)
			if err != nil {
				if i > 0 {
					t.Fatal("it opened once:", err)
				}
				return
			}
			if i > 0 && (tr.Nodes() != nodes || tr.Zxid() != zxid) {
				t.Fatalf("%d znodes at 0x%x, then %d at 0x%x", nodes, zxid, tr.Nodes(), tr.Zxid())
			}
			nodes, zxid = tr.Nodes(), tr.Zxid()
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
