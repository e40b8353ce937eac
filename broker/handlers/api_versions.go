package handlers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/wire"
)

// ApiVersions answers which request types and versions this broker serves (versions 0 to 3).
type ApiVersions struct {
	// Table returns the rows to list, this one included. It is called once, with the first request or before.
	Table func() []server.API

	keys []kmsg.ApiVersionsResponseApiKey
}

// APIs returns the row.
func (h *ApiVersions) APIs() []server.API {
	return []server.API{{Key: kmsg.ApiVersions, MinVersion: 0, MaxVersion: 3, AnyVersion: true, Start: h.start}}
}

// WithApiVersions completes a table of request types with the row that lists it.
func WithApiVersions(rows []server.API) []server.API {
	h := &ApiVersions{}
	rows = append(slices.Clip(rows), h.APIs()...)
	h.Table = func() []server.API { return rows }
	h.keys = listed(rows)
	return rows
}

func listed(rows []server.API) []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(rows))
	for _, a := range rows {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.Key.Int16(), a.MinVersion, a.MaxVersion
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return cmp.Compare(a.ApiKey, b.ApiKey) })
	return keys
}

func (h *ApiVersions) start(_ context.Context, r *server.Request) error {
	resp := kmsg.NewPtrApiVersionsResponse()
	if lo, hi, _ := wire.Versions(r.Key); r.Version < lo || r.Version > hi {
		// The client does not know what this broker speaks, so it gets version 0 of the answer, which says just that (KIP-511).
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: r.Key, MinVersion: lo, MaxVersion: hi}}
		p := r.NewResponseAs(0)
		resp.SetVersion(0)
		p.B = resp.AppendTo(p.B)
		r.CountErrors(resp.ErrorCode, 1)
		r.Complete(p)
		return nil
	}
	if err := wire.Check(r.Key, r.Version, r.Body); err != nil {
		return err
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(r.Version)
	if err := req.ReadFrom(r.Body); err != nil {
		return fmt.Errorf("%w: %v", wire.ErrMalformed, err)
	}
	if r.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		r.CompleteMessage(resp)
		return nil
	}
	resp.ApiKeys = h.keys
	r.CompleteMessage(resp)
	return nil
}

// validSoftware is Kafka's pattern for client software names and versions: letters, digits, dots and dashes, the latter inside only.
func validSoftware(s string) bool {
	alnum := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	if s == "" || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alnum(s[i]) && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}
