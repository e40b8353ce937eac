package clusterstatus

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// shownPartitions are named of each problem, and of the moves; JSON has all.
const shownPartitions = 8

func (s *Status) text(now time.Time) string {
	var b strings.Builder
	verdict := "healthy"
	if !s.Healthy {
		verdict = count(len(s.Problems), "problem")
	}
	name := "cluster"
	if s.ClusterID != "" {
		name += " " + s.ClusterID
	}
	fmt.Fprintf(&b, "%s: %s. %s, %s, %s\n", name, verdict, count(len(s.Brokers), "broker"), count(s.Topics, "topic"), count(s.Partitions, "partition"))
	if len(s.Brokers) > 0 {
		fmt.Fprintln(&b)
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "BROKER\tADDRESS\tRACK\tLEADS\tREPLICAS\tSINCE")
		for i := range s.Brokers {
			r := &s.Brokers[i]
			rack := r.Rack
			if rack == "" {
				rack = "-"
			}
			note := since(r.Since, now)
			if s.Controller != nil && *s.Controller == r.ID {
				note += "\tcontroller"
				if s.Since != nil {
					note += " since " + since(s.Since, now)
				}
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%s\n", r.ID, r.Address, rack, r.Leads, r.Holds, note)
		}
		w.Flush() //nolint:errcheck // a builder takes all
	}
	s.textMoves(&b)
	for i := range s.Problems {
		p := &s.Problems[i]
		fmt.Fprintf(&b, "\n%s: %s%s\n  -> %s\n", strings.ToUpper(p.Kind), p.What, list(p.Partitions), p.Do)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "\n(%s)\n", n)
	}
	return b.String()
}

func (s *Status) textMoves(b *strings.Builder) {
	if len(s.Moving) == 0 {
		return
	}
	names := make([]string, len(s.Moving))
	for i, m := range s.Moving {
		names[i] = m.Partition
		if len(m.Adding) > 0 {
			names[i] += " to " + ids(m.Adding)
		}
		if len(m.Removing) > 0 {
			names[i] += " from " + ids(m.Removing)
		}
	}
	fmt.Fprintf(b, "\nBEING REASSIGNED: %s%s\n  -> wait; scripts/kafka-reassign-partitions.sh --list shows all, --verify removes throttles at the end, --cancel stops\n",
		count(len(s.Moving), "partition"), list(names))
}

func list(names []string) string {
	if len(names) == 0 {
		return ""
	}
	more := ""
	if len(names) > shownPartitions {
		more = fmt.Sprintf(" and %d more", len(names)-shownPartitions)
		names = names[:shownPartitions]
	}
	return ": " + strings.Join(names, ", ") + more
}

func since(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	d := now.Sub(*t)
	ago := "just now"
	switch {
	case d >= 48*time.Hour:
		ago = fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Hour:
		ago = fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		ago = fmt.Sprintf("%d min", int(d.Minutes()))
	case d >= time.Second:
		ago = fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return t.Format("2006-01-02 15:04:05") + " (" + ago + ")"
}
