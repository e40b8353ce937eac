package isr

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const lag = 30 * time.Second

var epoch = time.Unix(1_000_000, 0)

func lead(isr ...int32) *State {
	return Lead(1, []int32{1, 2, 3}, isr, 7, 100, 100, epoch, nil)
}

// The high watermark waits for everybody in sync, for whoever is proposed, and for those who caught up within the lag.
func TestHighWatermark(t *testing.T) {
	s := lead(1, 2)
	if hw := s.HighWatermark(100, epoch, lag); hw >= 0 {
		t.Errorf("%d although nothing is known of replica 2", hw)
	}
	s.Fetched(2, 100, 0, 100, epoch)
	if hw := s.HighWatermark(110, epoch, lag); hw != 100 {
		t.Errorf("%d with replica 2 at 100", hw)
	}
	s.Fetched(2, 110, 0, 110, epoch)
	if hw := s.HighWatermark(110, epoch, lag); hw != 110 {
		t.Errorf("%d: replica 3 is not in sync and has not caught up", hw)
	}
	s.Fetched(3, 110, 0, 110, epoch)
	s.Fetched(2, 120, 0, 120, epoch)
	if hw := s.HighWatermark(120, epoch, lag); hw != 110 {
		t.Errorf("%d although replica 3 caught up a moment ago", hw)
	}
	if hw := s.HighWatermark(120, epoch.Add(lag+1), lag); hw != 120 {
		t.Errorf("%d although replica 3 lags", hw)
	}
	s.Propose(s.Joins(3, 110))
	if hw := s.HighWatermark(120, epoch.Add(lag+1), lag); hw != 110 {
		t.Errorf("%d although replica 3 may be in sync already", hw)
	}
}

// A replica joins with everything up to the high watermark and to the start of the leader's epoch, and only one change is under way.
func TestJoins(t *testing.T) {
	s := lead(1)
	for _, c := range []struct {
		at, hw int64
		ok     bool
	}{{99, 50, false}, {100, 101, false}, {100, 100, true}, {100, 60, true}} {
		s.Fetched(2, c.at, 0, 100, epoch)
		if got := s.Joins(2, c.hw); (got != nil) != c.ok {
			t.Errorf("at %d with high watermark %d: %v", c.at, c.hw, got)
		}
	}
	s.Propose(s.Joins(2, 100))
	s.Fetched(3, 100, 0, 100, epoch)
	if got := s.Joins(3, 100); got != nil {
		t.Error("two changes under way")
	}
	if s.Commit([]int32{1, 2}, 7) {
		t.Error("took over a version that is not newer")
	}
	if !s.Commit([]int32{1, 2}, 8) || s.Pending() {
		t.Error("not committed")
	}
	if got := s.Joins(3, 100); !slices.Equal(got, []int32{1, 2, 3}) {
		t.Error(got)
	}
	if got := s.Joins(9, 0); got != nil {
		t.Error("a stranger joins")
	}
}

// Whoever has not held the whole log for the lag leaves; a follower that keeps up with a moving end stays.
func TestShrinks(t *testing.T) {
	s := lead(1, 2, 3)
	now := epoch
	end := int64(100)
	for range 100 {
		now = now.Add(time.Second)
		s.Fetched(2, end, 0, end+10, now) // always ten behind, but where the leader was at its former fetch
		end += 10
	}
	isr, lagging := s.Shrinks(end, now, lag)
	if !slices.Equal(isr, []int32{1, 2}) || !slices.Equal(lagging, []int32{3}) {
		t.Errorf("%v without %v", isr, lagging)
	}
	s.Propose(isr)
	if isr, _ := s.Shrinks(end, now, lag); isr != nil {
		t.Error("two changes under way")
	}
}

// A leader of another epoch, or the same one told again, keeps what it knows of its followers, and gives them the full time.
func TestLeadAgain(t *testing.T) {
	s := lead(1, 2)
	s.Fetched(2, 100, 5, 100, epoch)
	again := Lead(1, []int32{1, 2, 3}, []int32{1, 2}, 8, 100, 100, epoch.Add(time.Hour), s)
	if hw := again.HighWatermark(100, epoch.Add(time.Hour), lag); hw != 100 {
		t.Error(hw)
	}
	if isr, _ := again.Shrinks(200, epoch.Add(time.Hour+lag), lag); isr != nil {
		t.Error("left too early")
	}
}

// Whatever happens, the high watermark never passes the end of a replica that stands in the ISR or is proposed for it.
func TestSimulation(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := lead(1, 2, 3)
		now, end, hw, version := epoch, int64(100), int64(0), int32(7)
		ends := map[int32]int64{2: 0, 3: 0}
		var pending []int32
		for step := range 400 {
			now = now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
			switch r.IntN(6) {
			case 0:
				end += int64(r.IntN(20))
			case 1, 2, 3:
				id := int32(2 + r.IntN(2))
				ends[id] = min(end, ends[id]+int64(r.IntN(40)))
				s.Fetched(id, ends[id], 0, end, now)
				if next := s.Joins(id, hw); next != nil && r.IntN(2) == 0 {
					s.Propose(next)
					pending = next
				}
			case 4:
				if next, _ := s.Shrinks(end, now, lag); next != nil {
					s.Propose(next)
					pending = next
				}
			case 5:
				if pending != nil {
					version++
					if !s.Commit(pending, version) {
						t.Fatalf("seed %d step %d: not committed", seed, step)
					}
					pending = nil
				}
			}
			hw = max(hw, s.HighWatermark(end, now, lag))
			isr, _ := s.ISR()
			for _, id := range append(slices.Clone(isr), pending...) {
				if id != 1 && ends[id] < hw {
					t.Fatalf("seed %d step %d: high watermark %d above replica %d, which ends at %d (ISR %v, pending %v)", seed, step, hw, id, ends[id], isr, pending)
				}
			}
			if !slices.Contains(isr, 1) {
				t.Fatalf("seed %d step %d: the leader left", seed, step)
			}
		}
	}
}

// A reader is sent to the near follower that holds most of the log, if it holds the offset at all.
func TestNearest(t *testing.T) {
	s := lead(1, 2, 3)
	s.Fetched(2, 90, 10, 100, epoch)
	s.Fetched(3, 80, 0, 100, epoch)
	all := func(int32) bool { return true }
	for _, c := range []struct {
		offset int64
		want   func(int32) bool
		id     int32
	}{{50, all, 2}, {5, all, 3}, {85, all, 2}, {95, all, -1}, {50, func(id int32) bool { return id == 3 }, 3}, {50, func(int32) bool { return false }, -1}} {
		if got := s.Nearest(c.offset, c.want); got != c.id {
			t.Errorf("offset %d: replica %d, want %d", c.offset, got, c.id)
		}
	}
}
