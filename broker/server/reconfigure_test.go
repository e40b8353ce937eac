package server

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestARateMayBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRateLimit(0)
		if d := r.wait(time.Now()); d != 0 {
			t.Errorf("waits %v without a limit", d)
		}
		r.set(1)
		r.wait(time.Now())
		if d := r.wait(time.Now()); d != time.Second {
			t.Errorf("waits %v, want 1s", d)
		}
		r.set(0)
		if d := r.wait(time.Now()); d != 0 {
			t.Errorf("waits %v after the limit was lifted", d)
		}
	})
}

func TestLimitsMayBeChanged(t *testing.T) {
	h := start(t, Options{MaxConnections: 1}, produceAPI(echo))
	first, second := h.dial(t), h.dial(t)
	first.Write(frame(0, 3, 1, nil))
	readResponse(t, first)
	second.Write(frame(0, 3, 2, nil))
	h.SetLimits(Limits{MaxConnections: 2}) // the second was waiting
	if corr, _ := readResponse(t, second); corr != 2 {
		t.Fatal(corr)
	}
	h.SetLimits(Limits{MaxConnectionsPerIPOverrides: map[string]int{"127.0.0.1": 2}})
	if _, err := h.dial(t).Read(make([]byte, 1)); err == nil {
		t.Fatal("a third connection was answered")
	}
	h.mustLog(t, "maximum of 2 connections")
}

func TestListenersComeAndGo(t *testing.T) {
	h := start(t, Options{}, produceAPI(echo))
	first := h.dial(t)
	if err := h.AddListener(ListenerConfig{Name: "PLAINTEXT", Addr: "127.0.0.1:0"}); err == nil {
		t.Error("two listeners of one name")
	}
	if err := h.AddListener(ListenerConfig{Name: "NEW", Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	addr := h.Addr("NEW").String()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(frame(0, 3, 1, nil))
	readResponse(t, c)
	h.RemoveListener("NEW")
	h.RemoveListener("NEW") // it is gone: nothing happens
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of the removed listener lives on")
	}
	if err := h.AddListener(ListenerConfig{Name: "OTHER", Addr: addr}); err != nil {
		t.Errorf("the address of the removed listener: %v", err)
	}
	first.Write(frame(0, 3, 7, nil))
	if corr, _ := readResponse(t, first); corr != 7 {
		t.Errorf("another listener's connection: %d", corr)
	}
}
