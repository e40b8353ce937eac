package producerperf

// payloads are what is sent: one record over and over, or lines of a file in random order.
type payloads struct {
	texts   [][]byte
	largest int
	one     []byte
	random  javaRandom
}

// make fills one record with capital letters.
func (p *payloads) make(size int) {
	p.random.seed(0)
	p.one = make([]byte, size)
	for i := range p.one {
		p.one[i] = 'A' + byte(p.random.below(26))
	}
}

func (p *payloads) next() []byte {
	if p.texts != nil {
		return p.texts[p.random.below(int32(len(p.texts)))]
	}
	return p.one
}

// javaRandom is java.util.Random, whose numbers its documentation fixes.
type javaRandom struct{ state uint64 }

const (
	multiplier = 0x5DEECE66D
	increment  = 0xB
	stateMask  = 1<<48 - 1
)

func (r *javaRandom) seed(s int64) { r.state = (uint64(s) ^ multiplier) & stateMask }

func (r *javaRandom) bits() int32 {
	r.state = (r.state*multiplier + increment) & stateMask
	return int32(r.state >> (48 - 31))
}

// below is nextInt(bound).
func (r *javaRandom) below(bound int32) int32 {
	n := r.bits()
	if bound&-bound == bound {
		return int32(int64(bound) * int64(n) >> 31)
	}
	for n-n%bound+(bound-1) < 0 { // the last, incomplete round of the remainder
		n = r.bits()
	}
	return n % bound
}
