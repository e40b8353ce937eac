package configs

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/config"
	"gregor/tools/internal/kclient"
)

func quotaType(kind string) string {
	if kind == users {
		return "user"
	}
	return "client-id"
}

// quotas asks for the quotas of exactly the entities of the command line.
func (a *adminMode) quotas(ctx context.Context) ([]kmsg.DescribeClientQuotasResponseEntry, error) {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Strict = true
	if len(a.names) > len(a.types) {
		return nil, refuse("More entity names specified than entity types")
	}
	for i, kind := range a.types {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType, c.MatchType = quotaType(kind), kmsg.QuotasMatchTypeAny
		if i < len(a.names) {
			c.MatchType = kmsg.QuotasMatchTypeDefault
			if a.names[i] != "" {
				c.MatchType, c.Match = kmsg.QuotasMatchTypeExact, &a.names[i]
			}
		}
		req.Components = append(req.Components, c)
	}
	resp, err := ask[*kmsg.DescribeClientQuotasResponse](ctx, a, -1, req, "describeClientQuotas")
	if err != nil {
		return nil, unsupported(err, "DESCRIBE_CLIENT_QUOTAS")
	}
	if err := kclient.Error(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return nil, kclient.Executed(err)
	}
	return resp.Entries, nil
}

func (a *adminMode) describeQuotas(ctx context.Context) error {
	entries, err := a.quotas(ctx)
	if err != nil {
		return err
	}
	for i := range entries {
		var who []string
		for _, kind := range []struct{ quota, shown string }{{"user", "user-principal"}, {"client-id", "client-id"}} {
			for _, e := range entries[i].Entity {
				switch {
				case e.Type != kind.quota:
				case e.Name == nil:
					who = append(who, "the default "+kind.shown)
				default:
					who = append(who, kind.shown+" '"+*e.Name+"'")
				}
			}
		}
		values := map[string]string{}
		for _, v := range entries[i].Values {
			values[v.Key] = config.JavaDouble(v.Value)
		}
		var shown []string
		for _, k := range javaOrder(values) {
			shown = append(shown, k+"="+values[k])
		}
		fmt.Fprintf(a.out, "Quota configs for %s are %s\n", strings.Join(who, ", "), strings.Join(shown, ", "))
	}
	if a.isFor(clients) || slices.Contains(a.names, "") {
		return nil
	}
	return a.describeScram(ctx)
}

func (a *adminMode) describeScram(ctx context.Context) error {
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	for _, n := range a.names {
		req.Users = append(req.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: n})
	}
	resp, err := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](ctx, a, -1, req, "describeUserScramCredentials")
	if err != nil {
		return unsupported(err, "DESCRIBE_USER_SCRAM_CREDENTIALS")
	}
	if err := kclient.Error(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return kclient.Executed(err)
	}
	const notFound = 91
	for i := range resp.Results {
		r := &resp.Results[i]
		if r.ErrorCode == notFound {
			continue
		}
		if err := kclient.Error(r.ErrorCode, r.ErrorMessage); err != nil {
			fmt.Fprintf(a.out, "Error retrieving SCRAM credential configs for user-principal '%s': %v\n", r.User, kclient.Executed(err))
			continue
		}
		var infos []string
		for _, c := range r.CredentialInfos {
			infos = append(infos, fmt.Sprintf("%s=iterations=%d", scramNames[min(max(int(c.Mechanism)-1, 0), 1)], c.Iterations))
		}
		fmt.Fprintf(a.out, "SCRAM credential configs for user-principal '%s' are %s\n", r.User, strings.Join(infos, ", "))
	}
	return nil
}

func isQuota(name string) bool { return slices.Contains(quotaNames, name) }
func isScram(name string) bool { return slices.Contains(scramNames, name) }

func only(names []string, wanted ...func(string) bool) (out []string) {
	for _, n := range names {
		if slices.ContainsFunc(wanted, func(f func(string) bool) bool { return f(n) }) {
			out = append(out, n)
		}
	}
	return out
}

// alterQuotas changes quotas of users, clients or users' clients, or a user's credentials.
func (a *adminMode) alterQuotas(ctx context.Context, add map[string]string, del []string) error {
	names := javaOrder(add)
	unknown := func(n string) bool { return !isQuota(n) && !isScram(n) }
	list := func(names []string) string { return "ArrayBuffer(" + strings.Join(names, ", ") + ")" }
	quotas := only(append(slices.Clone(names), del...), isQuota) != nil
	if a.types[0] == clients || len(a.types) == 2 {
		if bad := slices.Concat(only(names, unknown), only(names, isScram)); bad != nil {
			return refuse("Only quota configs can be added for '%s' using --bootstrap-server. Unexpected config names: %s", clients, scalaSet(bad))
		}
		if bad := slices.Concat(only(del, unknown), only(del, isScram)); bad != nil {
			return refuse("Only quota configs can be deleted for '%s' using --bootstrap-server. Unexpected config names: %s", clients, list(bad))
		}
	} else {
		if bad := only(names, unknown); bad != nil {
			return refuse("Only quota and SCRAM credential configs can be added for '%s' using --bootstrap-server. Unexpected config names: %s", users, scalaSet(bad))
		}
		if bad := only(del, unknown); bad != nil {
			return refuse("Only quota and SCRAM credential configs can be deleted for '%s' using --bootstrap-server. Unexpected config names: %s", users, list(bad))
		}
		if only(names, isScram) != nil || only(del, isScram) != nil {
			if slices.Contains(a.names, "") {
				return refuse("The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using --bootstrap-server.")
			}
			if quotas {
				return refuse("Cannot alter both quota and SCRAM credential configs simultaneously for '%s' using --bootstrap-server.", users)
			}
		}
	}
	if quotas {
		return a.alterClientQuotas(ctx, names, add, del)
	}
	return a.alterScram(ctx, names, add, del)
}

func (a *adminMode) alterClientQuotas(ctx context.Context, names []string, add map[string]string, del []string) error {
	if len(a.types) != len(a.names) {
		return refuse("Exactly one entity name must be specified for every entity type")
	}
	entries, err := a.quotas(ctx)
	if err != nil {
		return err
	}
	old := map[string]string{}
	if len(entries) > 0 {
		for _, v := range entries[0].Values {
			old[v.Key] = ""
		}
	}
	if err := missing(del, old); err != nil {
		return err
	}
	e := kmsg.NewAlterClientQuotasRequestEntry()
	for i, kind := range a.types {
		n := kmsg.NewAlterClientQuotasRequestEntryEntity()
		n.Type = quotaType(kind)
		if a.names[i] != "" {
			n.Name = &a.names[i]
		}
		e.Entity = append(e.Entity, n)
	}
	for _, k := range names {
		f, err := strconv.ParseFloat(add[k], 64)
		if err != nil {
			return refuse("Cannot parse quota configuration value for %s: %s", k, add[k])
		}
		e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: k, Value: f})
	}
	for _, k := range del {
		e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: k, Remove: true})
	}
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, e)
	resp, err := ask[*kmsg.AlterClientQuotasResponse](ctx, a, -1, req, "alterClientQuotas")
	if err != nil {
		return unsupported(err, "ALTER_CLIENT_QUOTAS")
	}
	for i := range resp.Entries {
		if err := kclient.Error(resp.Entries[i].ErrorCode, resp.Entries[i].ErrorMessage); err != nil {
			return kclient.Executed(err)
		}
	}
	return nil
}

var credential = regexp.MustCompile(`^(?:iterations=(-?[0-9]*),)?password=(.*)$`)

const leastIterations = 4096

// parseCredential reads iterations=N,password=P; mechanism is how messages call it.
func parseCredential(mechanism, value, name string) (iterations int, password string, err error) {
	m := credential.FindStringSubmatch(value)
	if m == nil {
		return 0, "", refuse("Invalid credential property %s=%s", name, value)
	}
	iterations = leastIterations
	if m[1] != "" && m[1] != "-1" {
		if iterations, err = strconv.Atoi(m[1]); err != nil {
			return 0, "", refuse("For input string: %q", m[1])
		}
	}
	if iterations < leastIterations {
		return 0, "", refuse("Iterations %d is less than the minimum %d required for %s", iterations, leastIterations, mechanism)
	}
	return iterations, m[2], nil
}

func (a *adminMode) alterScram(ctx context.Context, names []string, add map[string]string, del []string) error {
	if len(a.names) != 1 {
		return &kclient.APIError{Class: "java.lang.IllegalStateException", Message: fmt.Sprintf("Altering user SCRAM credentials should never occur for more zero or multiple users: List(%s)", strings.Join(a.names, ", "))}
	}
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for _, k := range del {
		req.Deletions = append(req.Deletions, kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: a.names[0], Mechanism: int8(slices.Index(scramNames, k) + 1)})
	}
	for _, k := range names {
		iterations, password, err := parseCredential(k, add[k], strings.ReplaceAll(k, "-", "_"))
		if err != nil {
			return err
		}
		salt := make([]byte, 32)
		rand.Read(salt) // never fails
		salted, err := saltedPassword(k, password, salt, iterations)
		if err != nil {
			return err
		}
		req.Upsertions = append(req.Upsertions, kmsg.AlterUserSCRAMCredentialsRequestUpsertion{Name: a.names[0], Mechanism: int8(slices.Index(scramNames, k) + 1),
			Iterations: int32(iterations), Salt: salt, SaltedPassword: salted})
	}
	resp, err := ask[*kmsg.AlterUserSCRAMCredentialsResponse](ctx, a, -1, req, "alterUserScramCredentials")
	if err != nil {
		return unsupported(err, "ALTER_USER_SCRAM_CREDENTIALS")
	}
	for i := range resp.Results {
		if err := kclient.Error(resp.Results[i].ErrorCode, resp.Results[i].ErrorMessage); err != nil {
			return kclient.Executed(err)
		}
	}
	return nil
}
