package dumplog

import (
	"encoding/binary"
	"strconv"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/coordrecords"
	"gregor/tools/internal/javatext"
	"gregor/tools/internal/kclient"
	"gregor/wire/record"
)

// decoder appends a record's key and value.
type decoder func(b []byte, r *record.Record) ([]byte, error)

// fieldDecoder appends a key or a value. Kafka's numbers are what the first bytes say, whatever follows.
type fieldDecoder func(dst, b []byte) ([]byte, error)

func underflow(b []byte, want int) error {
	return &kclient.APIError{Class: "java.nio.BufferUnderflowException", Message: strconv.Itoa(len(b)) + " bytes are fewer than the " + strconv.Itoa(want) + " of a number"}
}

func (d *dumper) chooseDecoder(o *cli.Options) error {
	switch {
	case o.Has("offsets-decoder"):
		d.decode = internal(coordrecords.DumpOffsets)
		return nil
	case o.Has("transaction-log-decoder"):
		d.decode = internal(coordrecords.DumpTransaction)
		return nil
	}
	value, err := newFieldDecoder(o.String("value-decoder-class"))
	if err != nil {
		return err
	}
	key, err := newFieldDecoder(o.String("key-decoder-class"))
	if err != nil {
		return err
	}
	d.decode = func(b []byte, r *record.Record) ([]byte, error) {
		// Both are decoded before either is printed.
		out := b
		var err error
		if r.Key != nil {
			if out, err = key(append(out, " key: "...), r.Key); err != nil {
				return out[:len(b)], err
			}
		}
		if r.Value != nil {
			if out, err = value(append(out, " payload: "...), r.Value); err != nil {
				return out[:len(b)], err
			}
		}
		return out, nil
	}
	return nil
}

func newFieldDecoder(class string) (fieldDecoder, error) {
	switch class {
	case stringDecoder:
		return func(dst, b []byte) ([]byte, error) { return javatext.Append(dst, b), nil }, nil
	case "kafka.serializer.DefaultDecoder":
		// Java prints the array's name; the bytes are what anyone who asks for them means.
		return func(dst, b []byte) ([]byte, error) { return append(dst, b...), nil }, nil
	case "kafka.serializer.LongDecoder":
		return func(dst, b []byte) ([]byte, error) {
			if len(b) < 8 {
				return dst, underflow(b, 8)
			}
			return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(b)), 10), nil
		}, nil
	case "kafka.serializer.IntegerDecoder":
		return func(dst, b []byte) ([]byte, error) {
			if len(b) < 4 {
				return dst, underflow(b, 4)
			}
			return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(b))), 10), nil
		}, nil
	}
	return nil, &kclient.APIError{Class: "java.lang.ClassNotFoundException", Message: class}
}

// internal prints records with a decoder of the coordinators' topics.
func internal(dump func(key, value []byte) (string, string, error)) decoder {
	return func(b []byte, r *record.Record) ([]byte, error) {
		key, value, err := dump(r.Key, r.Value)
		if err != nil {
			return b, err
		}
		b = append(append(b, " key: "...), key...)
		return append(append(b, " payload: "...), value...), nil
	}
}
