package brokerapiversions

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEachRequestHasItsLine(t *testing.T) {
	got := render([]kmsg.ApiVersionsResponseApiKey{{ApiKey: 2, MaxVersion: 5}, {ApiKey: 0, MaxVersion: 99}, {ApiKey: 1, MinVersion: 50, MaxVersion: 60},
		{ApiKey: 27}, {ApiKey: 999, MinVersion: 1, MaxVersion: 2}})
	lines := strings.Split(got, "\n")
	for i, want := range []string{"(", "\tProduce(0): 0 to 99 [usable: 8],", "\tFetch(1): 50 to 60 [unusable: node too new],",
		"\tListOffsets(2): 0 to 5 [usable: 5],", "\tMetadata(3): UNSUPPORTED,"} {
		if lines[i] != want {
			t.Errorf("line %d: %q, want %q", i, lines[i], want)
		}
	}
	for _, want := range []string{"\n\tWriteTxnMarkers(27): 0 [usable: 0],\n", "\n\tUNKNOWN(999): 1 to 2\n)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}
