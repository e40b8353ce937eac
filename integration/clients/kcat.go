package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// kcatFormat reads what kcat prints for '%K %S\n%k%s': the sizes (-1 for null), a newline, the key and the value.
var kcatFormat = encoding{
	read: func(r *bufio.Reader) ([]byte, []byte, error) {
		head, err := r.ReadSlice('\n')
		if err != nil {
			if len(head) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
		k, v, ok := bytes.Cut(head[:len(head)-1], []byte{' '})
		keySize, err1 := strconv.Atoi(string(k))
		valueSize, err2 := strconv.Atoi(string(v))
		if !ok || err1 != nil || err2 != nil {
			return nil, nil, fmt.Errorf("not two sizes: %.100q", head)
		}
		keySize, valueSize = max(0, keySize), max(0, valueSize)
		b := make([]byte, keySize+valueSize)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, nil, io.ErrUnexpectedEOF
		}
		return b[:keySize], b[keySize:], nil
	},
}
