package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"gregor/wire/compress"
)

const oldTime = int64(1_600_000_000_000)

// oldRecords are what the tests below send in every format.
func oldRecords(magic int8, n int) []Record {
	var all []Record
	for i := range n {
		r := Record{Offset: int64(i), Timestamp: oldTime + int64(i*7%5), Key: fmt.Appendf(nil, "key %d", i), Value: bytes.Repeat([]byte{'a' + byte(i)}, i*30)}
		if magic == 0 {
			r.Timestamp = NoTimestamp
		}
		all = append(all, r)
	}
	all[n-1].Value = nil
	return all
}

// oldSetOf encodes records as a client of the format sends them.
func oldSetOf(t testing.TB, magic int8, codec compress.Codec, records []Record) []byte {
	t.Helper()
	if magic == 2 {
		b := NewBuilder()
		b.Codec = codec
		for _, r := range records {
			b.Append(r.Timestamp, r.Key, r.Value)
		}
		out, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var set []byte
	maxTS := NoTimestamp
	for _, r := range records {
		set = appendLegacy(set, r.Offset, magic, 0, r.Timestamp, r.Key, r.Value)
		maxTS = max(maxTS, r.Timestamp)
	}
	if codec == compress.None {
		return set
	}
	packed, err := compress.Compress(nil, lz4Of(magic, codec), set)
	if err != nil {
		t.Fatal(err)
	}
	return appendLegacy(nil, records[len(records)-1].Offset, magic, int16(codec), maxTS, nil, packed)
}

// fixLegacyCRC and fixCRC give a message, or a batch, the CRC that it should have.
func fixLegacyCRC(b []byte) []byte {
	binary.BigEndian.PutUint32(b[posLegacyCRC:], crc32.ChecksumIEEE(b[posMagic:]))
	return b
}

func (b Batch) fixCRC() { binary.BigEndian.PutUint32(b[posCRC:], b.ComputeCRC()) }

func lz4Of(magic int8, codec compress.Codec) compress.Codec {
	if magic == 0 && codec == compress.LZ4 {
		return compress.LZ4V0
	}
	return codec
}

// lines describes the records of a set of any format, and checks what holds of every stored one.
func lines(t testing.TB, set []byte) []string {
	t.Helper()
	var out []string
	last := int64(-1)
	for rest := set; len(rest) > 0; {
		b, next, err := Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.Magic < 2 && !ValidLegacyCRC(b) || h.Magic == 2 && !Batch(b).ValidCRC() {
			t.Fatalf("the crc at offset %d is wrong", h.BaseOffset)
		}
		it := NewIter(b, 64<<20)
		maxTS := NoTimestamp
		for it.Next() {
			r := &it.Record
			if r.Offset <= last {
				t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
			maxTS = max(maxTS, r.Timestamp)
			out = append(out, fmt.Sprintf("%d@%d %s=%s", r.Offset, r.Timestamp, r.Key, hexField(r.Value)))
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
		it.Close()
		if last != h.LastOffset() || h.Magic > 0 && maxTS != h.MaxTimestamp {
			t.Fatalf("last offset %d, max timestamp %d; the header says %d, %d", last, maxTS, h.LastOffset(), h.MaxTimestamp)
		}
		rest = next
	}
	return out
}

// Every format and codec into every format and compression.type.
func TestEveryFormatIntoEvery(t *testing.T) {
	for from := int8(0); from <= 2; from++ {
		for codec := compress.None; codec <= compress.Zstd; codec++ {
			if codec == compress.Zstd && from < 2 {
				continue
			}
			for to := int8(0); to <= 2; to++ {
				for target := KeepCodec; target <= compress.Zstd; target++ {
					for _, typ := range []TimestampType{CreateTime, LogAppendTime} {
						t.Run(fmt.Sprintf("v%d,%v,v%d,%v,%v", from, codec, to, target, typ), func(t *testing.T) { intoFormat(t, from, to, codec, target, typ) })
					}
				}
			}
		}
	}
}

func intoFormat(t *testing.T, from, to int8, codec, target compress.Codec, typ TimestampType) {
	const base, now = int64(1000), oldTime + 123
	records := oldRecords(from, 9)
	sent := oldSetOf(t, from, codec, records)
	o := testOptions()
	o.Magic, o.Codec, o.TimestampType, o.Now = to, target, typ, now
	if target == KeepCodec {
		target = codec
	}
	v, err := Validate(bytes.Clone(sent), o, base, 5)
	if to < 2 && target == compress.Zstd {
		var undecodable *UndecodableError
		if !errors.As(err, &undecodable) {
			t.Fatalf("zstd in format v%d: %v", to, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	maxTS, at := NoTimestamp, base
	for _, r := range records {
		ts := r.Timestamp
		if typ == LogAppendTime {
			ts = now
		}
		if to == 0 {
			ts = NoTimestamp
		}
		if ts > maxTS {
			maxTS, at = ts, base+r.Offset
		}
		want = append(want, fmt.Sprintf("%d@%d %s=%s", base+r.Offset, ts, r.Key, hexField(r.Value)))
	}
	if got := lines(t, v.Batch); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	last := base + int64(len(records)) - 1
	if v.FirstOffset != base || v.LastOffset != last || v.Count != int32(len(records)) || v.Old != (to < 2) {
		t.Errorf("%+v", v)
	}
	if typ == LogAppendTime {
		maxTS, at = now, base
	}
	if to == 2 && (codec != compress.None || target != compress.None || typ == LogAppendTime || from < 2) || to < 2 && target != compress.None {
		at = last
	}
	if maxTS < 0 {
		at = v.OffsetOfMaxTimestamp // without a meaning
	}
	if v.MaxTimestamp != maxTS || v.OffsetOfMaxTimestamp != at {
		t.Errorf("max timestamp %d at %d, want %d at %d", v.MaxTimestamp, v.OffsetOfMaxTimestamp, maxTS, at)
	}
	checkStored(t, v, to, target)
	inPlace := from == to && codec == target && (to > 0 || target == compress.None)
	if v.Replaced == inPlace || inPlace && len(v.Batch) != len(sent) {
		t.Errorf("replaced: %v", v.Replaced)
	}
}

// checkStored looks at what a stored set is made of.
func checkStored(t *testing.T, v Validated, magic int8, codec compress.Codec) {
	n := 0
	for rest := []byte(v.Batch); len(rest) > 0; n++ {
		b, next, _ := Next(rest)
		h, _ := ParseHeader(b)
		if h.Magic != magic || h.Codec() != codec {
			t.Errorf("stored as v%d, %v", h.Magic, h.Codec())
		}
		rest = next
	}
	want := 1
	if magic < 2 && codec == compress.None {
		want = int(v.Count)
	}
	if n != want {
		t.Errorf("%d batches or messages, want %d", n, want)
	}
	if magic == 2 || codec == compress.None {
		return
	}
	var m legacyMessage
	if err := m.parse(v.Batch[LogOverhead:]); err != nil {
		t.Fatal(err)
	}
	inner, err := compress.Decompress(nil, m.innerCodec(), m.value, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	first := v.FirstOffset
	if magic == 1 {
		first = 0
	}
	for i := int64(0); len(inner) > 0; i++ {
		e, rest, err := nextInner(inner)
		if err != nil || int64(binary.BigEndian.Uint64(e)) != first+i || !ValidLegacyCRC(e) || Batch(e).Magic() != magic {
			t.Fatalf("inner message %d: %x, %v", i, e[:PrefixSize], err)
		}
		inner = rest
	}
}

// Numbers within a compressed v1 message that some clients get wrong: the message is written anew.
func TestWrongInnerOffsets(t *testing.T) {
	for name, c := range map[string]struct {
		inner    []int64
		outer    int64
		replaced bool
	}{
		"right":                     {[]int64{0, 1, 2}, 2, false},
		"outer offset left at 0":    {[]int64{0, 1, 2}, 0, false},
		"all 0":                     {[]int64{0, 0, 0}, 0, true},
		"from 1":                    {[]int64{1, 2, 3}, 2 + 1, true},
		"absolute in a later place": {[]int64{0, 1, 2}, 50, true},
		"with a gap":                {[]int64{0, 1, 5}, 5, true},
	} {
		var inner []byte
		for i, offset := range c.inner {
			inner = appendLegacy(inner, offset, 1, 0, oldTime, []byte{byte(i)}, nil)
		}
		packed, _ := compress.Compress(nil, compress.Snappy, inner)
		o := testOptions()
		o.Magic = 1
		v, err := Validate(appendLegacy(nil, c.outer, 1, int16(compress.Snappy), oldTime, nil, packed), o, 70, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []int64
		it := NewIter(v.Batch, 1<<20)
		for it.Next() {
			got = append(got, it.Record.Offset)
		}
		if v.Replaced != c.replaced || !slices.Equal(got, []int64{70, 71, 72}) {
			t.Errorf("%s: %v, replaced %v", name, got, v.Replaced)
		}
	}
}

func TestOldFormatsRefused(t *testing.T) {
	var (
		corrupt     *CorruptError
		invalid     *InvalidRecordError
		undecodable *UndecodableError
		format      *UnsupportedForMessageFormatError
		large       *RecordTooLargeError
		ts          *InvalidTimestampError
		malformed   *MalformedRequestError
	)
	one := func(magic int8, attrs int16, key, value []byte) []byte {
		return appendLegacy(nil, 0, magic, attrs, oldTime, key, value)
	}
	k, val := []byte("k"), []byte("v")
	wrap := func(magic int8, codec compress.Codec, outer int64, inner []byte) []byte {
		packed, err := compress.Compress(nil, lz4Of(magic, codec), inner)
		if err != nil {
			t.Fatal(err)
		}
		return appendLegacy(nil, outer, magic, int16(codec), oldTime, nil, packed)
	}
	badInner := one(1, 0, k, val)
	badInner[len(badInner)-1] ^= 1
	shortKey := one(1, 0, k, val)
	shortKey[legacyHeadV1+3] = 99
	headers := NewBuilder()
	headers.Append(oldTime, k, val, KeyValue{"h", nil})
	withHeaders, _ := headers.Build()
	negative := NewBuilder()
	negative.Append(-5, k, val)
	beforeEpoch, _ := negative.Build()
	txn := NewBuilder()
	txn.ProducerID, txn.ProducerEpoch, txn.BaseSequence, txn.Transactional = 5, 0, 0, true
	txn.Append(oldTime, k, val)
	transactional, _ := txn.Build()
	for name, c := range map[string]struct {
		set  []byte
		opt  func(*ValidateOptions)
		want any
	}{
		"cut":                              {one(1, 0, k, val)[:30], nil, &malformed},
		"bad crc":                          {badInner, nil, &corrupt},
		"bad crc in the second":            {append(one(1, 0, k, val), badInner...), nil, &corrupt},
		"codec 5":                          {one(1, 5, k, val), nil, &undecodable},
		"too large":                        {one(1, 0, k, make([]byte, 100)), func(o *ValidateOptions) { o.MaxBatchBytes = 100 }, &large},
		"too large after the conversion":   {one(0, 0, k, make([]byte, 70)), func(o *ValidateOptions) { o.MaxBatchBytes = 100 }, &large},
		"another format in the second":     {append(one(1, 0, k, val), one(0, 0, k, val)...), nil, &invalid},
		"v2 in the second":                 {append(one(1, 0, k, val), oldSetOf(t, 2, 0, oldRecords(2, 2))...), nil, &invalid},
		"v2 and another":                   {append(oldSetOf(t, 2, 0, oldRecords(2, 2)), one(1, 0, k, val)...), nil, &invalid},
		"key and value do not fill":        {fixLegacyCRC(shortKey), nil, &corrupt},
		"null key, compacted":              {one(1, 0, nil, val), func(o *ValidateOptions) { o.Compacted = true }, &invalid},
		"too old":                          {one(1, 0, k, val), func(o *ValidateOptions) { o.MaxTimestampDiff, o.Now = 1000, oldTime+2000 }, &ts},
		"LogAppendTime":                    {one(1, AttrLogAppendTime, k, val), nil, &ts},
		"two compressed":                   {append(wrap(1, 1, 0, one(1, 0, k, val)), wrap(1, 1, 0, one(1, 0, k, val))...), nil, &invalid},
		"plain and compressed":             {append(one(1, 0, k, val), wrap(1, 1, 0, one(1, 0, k, val))...), nil, &invalid},
		"compressed null":                  {one(1, 1, k, nil), nil, &invalid},
		"compressed garbage":               {one(1, 1, nil, []byte("this is no gzip")), nil, &undecodable},
		"zstd":                             {wrap(1, compress.Zstd, 0, one(1, 0, k, val)), nil, &invalid},
		"holds nothing":                    {wrap(1, 1, 0, nil), nil, &invalid},
		"holds nothing, v0":                {wrap(0, 1, 0, nil), nil, &invalid},
		"holds a compressed one":           {wrap(1, 1, 0, one(1, 1, nil, val)), nil, &invalid},
		"holds another format":             {wrap(1, 1, 0, one(0, 0, k, val)), nil, &invalid},
		"holds a bad crc":                  {wrap(1, 1, 0, badInner), nil, &corrupt},
		"holds a size below any":           {wrap(1, 1, 0, append(make([]byte, 11), 5)), nil, &corrupt},
		"outer offset below the inner":     {wrap(1, 1, 1, appendLegacy(nil, 5, 1, 0, oldTime, k, val)), nil, &invalid},
		"null key within, compacted":       {wrap(1, 1, 0, one(1, 0, nil, val)), func(o *ValidateOptions) { o.Compacted = true }, &invalid},
		"too old within":                   {wrap(1, 1, 0, one(1, 0, k, val)), func(o *ValidateOptions) { o.MaxTimestampDiff, o.Now = 1000, oldTime+2000 }, &ts},
		"lz4 header right, as v0 is not":   {appendLegacy(nil, 0, 1, 3, oldTime, nil, wrap(0, compress.LZ4, 0, one(1, 0, k, val))[legacyHeadV0+8:]), nil, &undecodable},
		"headers":                          {withHeaders, nil, &undecodable},
		"a time before 1970":               {beforeEpoch, nil, &undecodable},
		"a time before 1970, v0 and gzip":  {beforeEpoch, func(o *ValidateOptions) { o.Magic, o.Codec = 0, compress.Gzip }, &undecodable},
		"a transaction":                    {transactional, nil, &format},
		"a control batch of a coordinator": {BuildEndTxnMarker(1, 0, EndTxnMarker{Type: ControlCommit}, 0), func(o *ValidateOptions) { o.FromClient = false }, &format},
	} {
		o := testOptions()
		o.Magic = 1
		if c.opt != nil {
			c.opt(&o)
		}
		before := bytes.Clone(c.set)
		if _, err := Validate(c.set, o, 0, 0); err == nil || !errors.As(err, c.want) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
		if !bytes.Equal(before, c.set) {
			t.Errorf("%s: what was refused was changed", name)
		}
	}
}

// What Kafka takes: a message set with a cut end, and bytes that make no message at the end of a compressed one.
func TestCutEndsPass(t *testing.T) {
	whole := appendLegacy(nil, 0, 1, 0, oldTime, []byte("k"), []byte("v"))
	o := testOptions()
	o.Magic = 1
	v, err := Validate(append(bytes.Clone(whole), whole[:20]...), o, 5, 0)
	if err != nil || len(v.Batch) != len(whole) || v.LastOffset != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	packed, _ := compress.Compress(nil, compress.Gzip, append(bytes.Clone(whole), whole[:20]...))
	v, err = Validate(appendLegacy(nil, 0, 1, 1, oldTime, nil, packed), o, 5, 0)
	if err != nil || v.Count != 1 || v.Replaced {
		t.Errorf("%+v, %v", v, err)
	}
	if got := lines(t, v.Batch); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// The bytes of MemoryRecordsBuilder, which made the files in testdata; compressed ones by what they hold.
func TestSetBuilderMakesKafkasBytes(t *testing.T) {
	for name, data := range goldenFiles(t, "v[01]-*.bin") {
		for rest := data; len(rest) > 0; {
			entry, next, err := Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = next
			h, _ := ParseHeader(entry)
			it := NewIter(entry, 8<<20)
			var s setBuilder
			begun := false
			for it.Next() {
				if !begun {
					begun = true
					if err := s.begin([]byte("before"), h.Magic, h.Codec(), h.TimestampType(), h.MaxTimestamp, it.Record.Offset); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.add(it.Record.Offset, it.Record.Timestamp, it.Record.Key, it.Record.Value); err != nil {
					t.Fatal(err)
				}
			}
			got, err := s.end()
			if err != nil || it.Err() != nil {
				t.Fatal(err, it.Err())
			}
			got = got[len("before"):]
			if h.Codec() != compress.None {
				entry, got = opened(t, entry), opened(t, got)
			}
			if !bytes.Equal(got, entry) {
				t.Errorf("%s:\n got %x\nwant %x", name, got, entry)
			}
			it.Close()
		}
	}
}

// opened is a compressed message with its size, CRC and value replaced by what the value holds. The head of an lz4 frame stays.
func opened(t *testing.T, entry []byte) []byte {
	t.Helper()
	var m legacyMessage
	if err := m.parse(entry[LogOverhead:]); err != nil {
		t.Fatal(err)
	}
	inner, err := compress.Decompress(nil, m.innerCodec(), m.value, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	n := legacyHeadV0 + int(m.magic)*8 + 4
	out := slices.Concat(entry[:posLength], entry[posMagic:n])
	if m.codec() == compress.LZ4 {
		out = append(out, m.value[:7]...)
	}
	return append(out, inner...)
}

// Properties, whatever the bytes and options: no panic; what is refused was not changed; what is accepted has the topic's format, ascending
// offsets from the base on, good CRCs, and the records that were sent.
func FuzzValidateOld(f *testing.F) {
	for name, b := range goldenFiles(f, "v[012]-*.bin") {
		if len(b) < 3000 {
			f.Add(b, byte(len(name)))
		}
	}
	for magic := int8(0); magic <= 2; magic++ {
		f.Add(oldSetOf(f, magic, compress.Gzip, oldRecords(magic, 3)), byte(40+magic))
		f.Add(oldSetOf(f, magic, compress.None, oldRecords(magic, 3)), byte(magic))
	}
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		o := testOptions()
		o.Magic = int8(how % 3)
		o.Codec = compress.Codec(how/3%6) - 1
		o.FromClient = how < 128
		if how/18%2 == 1 {
			o.TimestampType = LogAppendTime
		}
		// The fuzzer does not find CRCs: mend that of each message that has one.
		data = bytes.Clone(data)
		for rest := data; ; {
			b, next, err := Next(rest)
			if err != nil {
				break
			}
			if b[posMagic] < 2 {
				fixLegacyCRC(b)
			} else if len(b) >= HeaderSize {
				Batch(b).fixCRC()
			}
			rest = next
		}
		before := bytes.Clone(data)
		v, err := Validate(data, o, 700, 3)
		if err != nil {
			if !bytes.Equal(before, data) {
				t.Fatalf("refused with %v and changed", err)
			}
			return
		}
		if !v.Old {
			return // FuzzValidate looks at those
		}
		n := int64(0)
		for rest := []byte(v.Batch); len(rest) > 0; {
			b, next, err := Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			if Batch(b).Magic() != o.Magic || !ValidLegacyCRC(b) {
				t.Fatalf("stored %x", b[:PrefixSize])
			}
			it := NewIter(b, 64<<20)
			for it.Next() {
				if it.Record.Offset != 700+n {
					t.Fatalf("offset %d, want %d", it.Record.Offset, 700+n)
				}
				n++
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			it.Close()
			rest = next
		}
		if n != int64(v.Count) || v.LastOffset != 700+n-1 {
			t.Fatalf("%d records: %+v", n, v)
		}
	})
}

func BenchmarkValidateOld(b *testing.B) {
	for _, c := range []struct {
		name     string
		from, to int8
		codec    compress.Codec
	}{
		{"v1 as it is", 1, 1, compress.None}, {"v1 lz4 as it is", 1, 1, compress.LZ4}, {"v0 to v2", 0, 2, compress.None}, {"v1 lz4 to v2", 1, 2, compress.LZ4},
		{"v2 to v1", 2, 1, compress.None}, {"v2 lz4 to v1", 2, 1, compress.LZ4}, {"v2 lz4 to v0", 2, 0, compress.LZ4},
	} {
		b.Run(c.name, func(b *testing.B) {
			var records []Record
			for i := range 1000 {
				records = append(records, Record{Offset: int64(i), Timestamp: oldTime, Key: []byte("key"), Value: bytes.Repeat([]byte("value"), 20)})
			}
			set := oldSetOf(b, c.from, c.codec, records)
			work := bytes.Clone(set)
			o := testOptions()
			o.Magic = c.to
			b.SetBytes(int64(len(records) * 103))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, set)
				if _, err := Validate(work, o, 7, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}
