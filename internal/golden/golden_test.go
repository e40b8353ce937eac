package golden

import (
	"strings"
	"testing"
)

func TestEachCaseHasItsRequestsAndFiles(t *testing.T) {
	cases, err := LoadAll("../../storage/testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			files, err := c.Files()
			if err != nil {
				t.Fatal(err)
			}
			logs := 0
			for name := range files {
				if strings.HasPrefix(name, c.Topic+"-") && strings.HasSuffix(name, ".log") {
					logs++
				}
			}
			if logs == 0 {
				t.Error("no segment")
			}
			if c.Unclean || c.From != "" {
				if r, err := c.RecoveredFiles(); err != nil || len(r) == 0 {
					t.Errorf("recovered files: %d, %v", len(r), err)
				}
			}
			if (c.Compare == Read) != (len(c.Steps) == 0) {
				t.Errorf("compare %q with %d steps", c.Compare, len(c.Steps))
			}
			for i, s := range c.Steps {
				for _, a := range s.Produce {
					if len(a.Records) < 26 || a.Records[16] > 2 || a.Records[16] == 2 && len(a.Records) < 61 {
						t.Errorf("step %d: neither a record batch nor a message set", i)
					}
				}
			}
		})
	}
}
