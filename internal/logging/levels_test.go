package logging

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestALoggerHasTheNearestLevelAboveIt(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, "kafka", "info")
	if err != nil {
		t.Fatal(err)
	}
	apis, ctl := Named(log, "kafka.server.KafkaApis"), Named(Named(log, "x").WithField("n", 1), "kafka.controller.KafkaController")
	lines := func() string {
		out.Reset()
		log.Debug("server")
		apis.Debug("apis")
		ctl.Debug("controller")
		Named(log, "kafka.request.logger").Info("request")
		var said []string
		for line := range strings.Lines(out.String()) {
			said = append(said, strings.Fields(line)[3])
		}
		return strings.Join(said, " ")
	}
	l := LevelsOf(apis)
	for _, step := range []struct{ name, level, want string }{
		{"", "", ""},
		{"kafka.controller", "DEBUG", "controller"},
		{"kafka", "TRACE", "server apis controller"},
		{"kafka.server.KafkaApis", "ERROR", "server controller"},
		{"kafka.request.logger", "INFO", "server controller request"},
		{"kafka.server.KafkaApis", "", "server apis controller request"},
		{"kafka", "", "controller request"},
		{Root, "DEBUG", "server apis controller request"},
	} {
		var err error
		switch {
		case step.level != "":
			err = l.Set(step.name, step.level)
		case step.name != "":
			err = l.Unset(step.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(); got != step.want {
			t.Errorf("after %s=%s: %q, want %q", step.name, step.level, got, step.want)
		}
	}
	all := l.All()
	if all[Root] != "DEBUG" || all["kafka.controller"] != "DEBUG" || all["x"] != "DEBUG" || all["kafka.request.logger"] != "INFO" {
		t.Errorf("levels %v", all)
	}
	if l.Exists("no.such") || !l.Exists(Root) || !l.Exists("x") || l.Set("no.such", "INFO") == nil || l.Set("x", "OFF") == nil || l.Unset(Root) == nil {
		t.Error("a logger or a level that is not there was accepted")
	}
	if !Enabled(ctl, logrus.DebugLevel) || Enabled(ctl, logrus.TraceLevel) {
		t.Error("Enabled does not follow the level")
	}
}

func TestALogOfSomebodyElseHasNoLevels(t *testing.T) {
	l := LevelsOf(Named(logrus.New(), "a"))
	if l != nil || !l.Exists(Root) || l.Exists("a") || l.All()[Root] != "INFO" || l.Set(Root, "DEBUG") == nil {
		t.Error("levels where there are none")
	}
}
