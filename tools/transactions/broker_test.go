package transactions

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"gregor/gregortest"
)

// The commands against a broker on which a transaction is open.
func TestAnOpenTransactionIsSeenAndAborted(t *testing.T) {
	b := gregortest.Start(t, gregortest.Topic("t", 1))
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.TransactionalID("pay"), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("v")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	do := func(want, line string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := Main(append([]string{"--bootstrap-server", b.Addr()}, strings.Fields(line)...), nil, &out, &errs)
		if re := regexp.MustCompile(want); code != 0 || !re.MatchString(out.String()) {
			t.Errorf("%s: exit %d\n%s%s\nwant %s", line, code, &out, &errs, want)
		}
	}
	do(`(?m)^pay +\t0 +\t\d+ +\tOngoing +\t$`, "list")
	do(`(?m)^0 +\tpay +\t\d+ +\t\d+ +\tOngoing +\t\d+ +\t\d{13} +\t\d+ +\tt-0 +\t$`, "describe --transactional-id pay")
	do(`(?m)^\d+ +\t\d+ +\t-1 +\t0 +\t\d{13}\t0 +\t$`, "describe-producers --topic t --partition 0")
	do(`^Topic\t[^\n]*\n$`, "find-hanging --topic t --max-transaction-timeout 0")
	do(`^$`, "abort --topic t --partition 0 --start-offset 0")
	do(`(?m)^\d+ +\t\d+ +\t0 +\t-?\d+ +\t\d{13}\tNone +\t$`, "describe-producers --topic t --partition 0 --broker-id 0")
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Error(err)
	}
	do(`(?m)^pay +\t0 +\t\d+ +\tCompleteAbort +\t$`, "list")
}
