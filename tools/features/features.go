// Package features is kafka-features: the features that brokers support and the cluster has finalized.
//
// Owns: the command's flags and output; no state.
// Guarded by: nothing; one call, one goroutine.
// Invariants: Kafka 2.7 has no feature of its own, so --upgrade-all changes nothing and --downgrade-all only takes away what it does
// not know; with --dry-run nothing is sent that changes something.
// Imports: kmsg, tools/internal.
// Kafka counterpart: kafka.admin.FeatureCommand.
package features

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/tools/internal/cli"
	"gregor/tools/internal/kclient"
)

func newParser() *cli.Parser {
	return cli.New(cli.Defaults(
		cli.Opt{Name: "bootstrap-server", Kind: cli.String, Arg: "server to connect to", Doc: "REQUIRED: brokers to connect to, as host:port,host:port."},
		cli.Opt{Name: "command-config", Kind: cli.String, Optional: true, Arg: "command config property file", Doc: "Properties file for the admin client."},
		cli.Opt{Name: "describe", Doc: "Show the supported and the finalized features, as some broker knows them."},
		cli.Opt{Name: "from-controller", Doc: "With --describe: as the controller knows them."},
		cli.Opt{Name: "upgrade-all", Doc: "Finalize all features this tool knows, at their highest levels. None is taken away."},
		cli.Opt{Name: "downgrade-all", Doc: "Take the finalized features back to the levels this tool knows; those it does not know are deleted. None is added."},
		cli.Opt{Name: "dry-run", Doc: "With --upgrade-all or --downgrade-all: only say what would be done."},
	)...)
}

// Main runs the command and returns its exit code.
func Main(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := newParser()
	o, err := p.Parse(args)
	if err != nil {
		return p.Fail(stderr, err)
	}
	if code, done := o.HelpOrVersion(stdout, stderr, "This tool describes and updates finalized features."); done {
		return code
	}
	if err := check(o); err != nil {
		return p.Fail(stderr, err)
	}
	if o.Has("command-config") && len(o.Values("command-config")) == 0 {
		fmt.Fprintln(stdout, "Did not load any properties since the property file is not specified")
	}
	admin, err := kclient.NewAdmin(o, "adminclient-1", stderr)
	if err != nil {
		return kclient.Uncaught(stderr, err)
	}
	defer admin.Close()
	out := bufio.NewWriter(stdout)
	defer out.Flush() //nolint:errcheck // nobody is left to tell
	if o.Has("describe") {
		err = describe(context.Background(), admin, o.Has("from-controller"), out)
	} else {
		err = update(context.Background(), admin, o, out)
	}
	var api *kclient.APIError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotAll):
	case errors.As(err, &api):
		fmt.Fprintf(stderr, "\nError encountered when executing command: %s\n\n", api.Trace())
	default:
		fmt.Fprintf(stderr, "\nError encountered when executing command: %s\n\n", err)
	}
	return 1
}

func check(o *cli.Options) error {
	actions := 0
	for _, a := range []string{"describe", "upgrade-all", "downgrade-all"} {
		if o.Has(a) {
			actions++
		}
	}
	if actions != 1 {
		return &cli.UsageError{Message: "Command must include exactly one action: --describe, --upgrade-all, --downgrade-all."}
	}
	if err := o.Require("bootstrap-server"); err != nil {
		return err
	}
	if o.Has("dry-run") && o.Has("describe") {
		return &cli.UsageError{Message: "Command can contain --dry-run option only when either --upgrade-all or --downgrade-all actions are provided."}
	}
	if o.Has("from-controller") && !o.Has("describe") {
		return &cli.UsageError{Message: "Command can contain --from-controller option only when --describe action is provided."}
	}
	return o.Check("bootstrap-server", "command-config")
}

// ask gets the features from any broker, or from the controller.
func ask(ctx context.Context, admin *kclient.Admin, controller bool) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "gregor", "2.7.2"
	const call = "describeFeatures"
	var resp *kmsg.ApiVersionsResponse
	var err error
	if controller {
		var cluster *kmsg.MetadataResponse
		if cluster, err = admin.Cluster(ctx); err == nil {
			resp, err = kclient.AskBroker[*kmsg.ApiVersionsResponse](ctx, admin, cluster.ControllerID, req, call)
		}
	} else {
		resp, err = kclient.Ask[*kmsg.ApiVersionsResponse](ctx, admin, req, call)
	}
	if err == nil {
		err = kclient.Error(resp.ErrorCode, nil)
	}
	return resp, err
}

func describe(ctx context.Context, admin *kclient.Admin, controller bool, out io.Writer) error {
	resp, err := ask(ctx, admin, controller)
	if err != nil {
		return err
	}
	type levels struct{ supported, finalized string }
	found := map[string]levels{}
	for _, f := range resp.SupportedFeatures {
		found[f.Name] = levels{supported: fmt.Sprintf("SupportedMinVersion: %d\tSupportedMaxVersion: %d", f.MinVersion, f.MaxVersion)}
	}
	for _, f := range resp.FinalizedFeatures {
		l := found[f.Name]
		l.finalized = fmt.Sprintf("FinalizedMinVersionLevel: %d\tFinalizedMaxVersionLevel: %d", f.MinVersionLevel, f.MaxVersionLevel)
		found[f.Name] = l
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	epoch := "-"
	if resp.FinalizedFeaturesEpoch >= 0 {
		epoch = fmt.Sprint(resp.FinalizedFeaturesEpoch)
	}
	for _, name := range names {
		l := found[name]
		if l.supported == "" {
			l.supported = "SupportedMinVersion: -\tSupportedMaxVersion: -"
		}
		if l.finalized == "" {
			l.finalized = "FinalizedMinVersionLevel: -\tFinalizedMaxVersionLevel: -"
		}
		fmt.Fprintf(out, "Feature: %s\t%s\t%s\tEpoch: %s\n", name, l.supported, l.finalized, epoch)
	}
	return nil
}

var errNotAll = errors.New("not every feature was updated")

// update does what --upgrade-all and --downgrade-all ask for: this tool knows no feature, so the first finds nothing to do, and the
// second deletes all there are.
func update(ctx context.Context, admin *kclient.Admin, o *cli.Options, out io.Writer) error {
	resp, err := ask(ctx, admin, true)
	if err != nil || o.Has("upgrade-all") || len(resp.FinalizedFeatures) == 0 {
		return err
	}
	lines := map[string]string{}
	req := kmsg.NewPtrUpdateFeaturesRequest()
	for _, f := range resp.FinalizedFeatures {
		lines[f.Name] = fmt.Sprintf("%11s\tFeature: %s\tExistingFinalizedMaxVersion: %d\tNewFinalizedMaxVersion: -", "[Delete]", f.Name, f.MaxVersionLevel)
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.AllowDowngrade = f.Name, true
		req.FeatureUpdates = append(req.FeatureUpdates, u)
	}
	slices.SortFunc(req.FeatureUpdates, func(a, b kmsg.UpdateFeaturesRequestFeatureUpdate) int { return strings.Compare(a.Feature, b.Feature) })
	if o.Has("dry-run") {
		fmt.Fprint(out, "Expected feature updates:")
		for i, u := range req.FeatureUpdates {
			if i > 0 {
				fmt.Fprintln(out)
			}
			fmt.Fprint(out, lines[u.Feature])
		}
		fmt.Fprintln(out)
		return nil
	}
	answer, err := kclient.Ask[*kmsg.UpdateFeaturesResponse](ctx, admin, req, "updateFeatures")
	if err == nil {
		err = kclient.Error(answer.ErrorCode, answer.ErrorMessage)
	}
	failed := false
	for _, u := range req.FeatureUpdates {
		one := err
		if err == nil {
			for _, r := range answer.Results {
				if r.Feature == u.Feature {
					one = kclient.Error(r.ErrorCode, r.ErrorMessage)
				}
			}
		}
		result := "OK"
		if one != nil {
			failed = true
			result = "FAILED due to " + one.Error()
			var api *kclient.APIError
			if errors.As(one, &api) {
				result = "FAILED due to " + api.Trace()
			}
		}
		fmt.Fprintf(out, "%s\tResult: %s\n", lines[u.Feature], result)
	}
	if failed {
		return errNotAll
	}
	return nil
}
