package zookeepershell

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// The tables are filled here because help and redo look into them.
var (
	commands map[string]*command
	builtins map[string]func(sh *shell, words []string)
)

func init() {
	commands = map[string]*command{
		"addauth":       {usage: "scheme auth", need: 1, run: addAuth},
		"close":         {run: func(sh *shell, _ input) error { sh.closed(); return nil }},
		"config":        {usage: "[-c] [-w] [-s]", flags: "cws", run: config},
		"create":        {usage: "[-s] [-e] [-c] [-t ttl] path [data] [acl]", flags: "sect:", need: 1, run: create},
		"delete":        {usage: "[-v version] path", flags: "v:", need: 1, run: remove},
		"deleteall":     {usage: "path", need: 1, run: removeAll},
		"get":           {usage: "[-s] [-w] path", flags: "sw", need: 1, run: get},
		"getAcl":        {usage: "[-s] path", flags: "s", need: 1, run: getACL},
		"listquota":     {usage: "path", need: 1, run: listQuota},
		"ls":            {usage: "[-s] [-w] [-R] path", flags: "swR", need: 1, run: list},
		"ls2":           {usage: "path [watch]", flags: "w", need: 1, run: list2},
		"rmr":           {usage: "path", need: 1, run: removeOld},
		"set":           {usage: "[-s] [-v version] path data", flags: "sv:", need: 2, run: set},
		"setAcl":        {usage: "[-s] [-v version] [-R] path acl", flags: "sv:R", need: 2, run: setACL},
		"stat":          {usage: "[-w] path", flags: "w", need: 1, run: stat},
		"sync":          {usage: "path", need: 1, run: syncPath},
		"setquota":      {usage: "-n|-b val path", flags: "n:b:", need: 1, run: notHere("setquota", "quotas are not counted; see `zookeeper-shell` in docs/deviations.md")},
		"delquota":      {usage: "[-n|-b] path", flags: "nb", need: 1, run: notHere("delquota", "quotas are not counted; see `zookeeper-shell` in docs/deviations.md")},
		"reconfig":      {usage: reconfigUsage, flags: "sv:", need: 1, run: notHere("reconfig", "this shell cannot change an ensemble; use zkCli.sh of ZooKeeper itself")},
		"removewatches": {usage: "path [-c|-d|-a] [-l]", flags: "cdal", need: 1, run: notHere("removewatches", "a watch ends with the session; use close")},
	}
	builtins = map[string]func(*shell, []string){
		"quit": func(sh *shell, _ []string) { sh.quit = true; sh.closed() },
		"connect": func(sh *shell, words []string) {
			if len(words) > 1 {
				sh.server = words[1]
			}
			sh.closed()
			sh.connect(sh.server)
		},
		"printwatches": printWatches,
		"history":      showHistory,
		"redo":         redo,
	}
}

const reconfigUsage = "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | " +
	"[-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]"

func notHere(name, why string) func(*shell, input) error {
	return func(*shell, input) error { return refusal(name + ": " + why) }
}

// at gets the session and the full path.
func (sh *shell) at(path string) (*zk.Conn, string, error) {
	full, err := sh.path(path)
	if err != nil {
		return nil, "", err
	}
	conn, err := sh.session()
	return conn, full, err
}

var codes = []struct {
	err        error
	name, text string
}{
	{zk.ErrNoNode, "NoNode", "Node does not exist: "},
	{zk.ErrNodeExists, "NodeExists", "Node already exists: "},
	{zk.ErrNotEmpty, "Directory not empty", "Node not empty: "},
	{zk.ErrNoChildrenForEphemerals, "NoChildrenForEphemerals", "Ephemerals cannot have children: "},
	{zk.ErrBadVersion, "BadVersion", "version No is not valid : "},
	{zk.ErrNoAuth, "NoAuth", "Authentication is not valid : "},
	{zk.ErrInvalidACL, "InvalidACL", "Acl is not valid : "},
	{zk.ErrBadArguments, "BadArguments", "Arguments are not valid : "},
	{zk.ErrAPIError, "APIError", ""},
	{zk.ErrAuthFailed, "AuthFailed", ""},
	{zk.ErrSessionExpired, "Session expired", ""},
	{zk.ErrConnectionClosed, "ConnectionLoss", ""},
	{zk.ErrNoServer, "ConnectionLoss", ""},
	{errLoss, "ConnectionLoss", ""},
}

// keeper is a server's refusal as ZooKeeper's own exception words it.
func keeper(err error, path string) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return "KeeperErrorCode = " + c.name + " for " + path
		}
	}
	return "KeeperErrorCode = Unimplemented for " + path
}

// explain words a server's refusal as the shell does.
func explain(err error, path string) error {
	var r refusal
	if err == nil || errors.As(err, &r) || errors.Is(err, errNotConnected) {
		return err
	}
	for _, c := range codes {
		if c.text != "" && errors.Is(err, c.err) {
			return refusal(c.text + path)
		}
	}
	return refusal(keeper(err, path))
}

func (sh *shell) deprecated(text string) { fmt.Fprintln(sh.err, text) }

func list(sh *shell, in input) error {
	path := in.args[0]
	if len(in.args) > 1 {
		sh.deprecated("'ls path [watch]' has been deprecated. Please use 'ls [-w] path' instead.")
	}
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	if in.has('R') {
		return sh.tree(conn, full, path)
	}
	names, st, err := sh.children(conn, full, in.has('w') || len(in.args) > 1)
	if err != nil {
		return explain(err, path)
	}
	slices.Sort(names)
	sh.out.printf("[%s]", strings.Join(names, ", "))
	if in.has('s') {
		sh.out.printf("%s", statText(st))
	}
	sh.out.printf("\n")
	return nil
}

func (sh *shell) children(conn *zk.Conn, full string, watch bool) ([]string, *zk.Stat, error) {
	if !watch {
		return conn.Children(full)
	}
	names, st, events, err := conn.ChildrenW(full)
	if err == nil {
		sh.watch("children", full, events)
	}
	return names, st, err
}

// tree prints a node and all below it, level by level.
func (sh *shell) tree(conn *zk.Conn, full, path string) error {
	var found []string
	err := walk(conn, full, func(p string) { found = append(found, p) })
	if err != nil {
		return explain(err, path)
	}
	var b strings.Builder
	for _, p := range found {
		b.WriteString(sh.relative(p) + "\n")
	}
	sh.out.printf("%s", b.String())
	return nil
}

// walk visits a node and all below it, parents first. What is deleted meanwhile is left out.
func walk(conn *zk.Conn, full string, visit func(string)) error {
	queue := []string{full}
	for first := true; len(queue) > 0; first = false {
		p := queue[0]
		queue = queue[1:]
		names, _, err := conn.Children(p)
		if errors.Is(err, zk.ErrNoNode) && !first {
			continue
		}
		if err != nil {
			return err
		}
		visit(p)
		slices.Sort(names)
		for _, n := range names {
			queue = append(queue, strings.TrimSuffix(p, "/")+"/"+n)
		}
	}
	return nil
}

func list2(sh *shell, in input) error {
	sh.deprecated("'ls2' has been deprecated. Please use 'ls [-s] path' instead.")
	path := in.args[0]
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	names, st, err := sh.children(conn, full, in.has('w') || len(in.args) > 1)
	if err != nil {
		return explain(err, path)
	}
	sh.out.printf("[%s]\n%s", strings.Join(names, ", "), statText(st))
	return nil
}

func get(sh *shell, in input) error {
	path := in.args[0]
	watch := in.has('w')
	if len(in.args) > 1 {
		sh.deprecated("'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead.")
		watch = true
	}
	conn, full, err := sh.at(path)
	var data []byte
	var st *zk.Stat
	var events <-chan zk.Event
	switch {
	case err != nil:
	case watch:
		data, st, events, err = conn.GetW(full)
	default:
		data, st, err = conn.Get(full)
	}
	if errors.Is(err, zk.ErrNoNode) {
		return refusal("org.apache.zookeeper.KeeperException$NoNodeException: " + keeper(err, path))
	}
	if err != nil {
		return explain(err, path)
	}
	if events != nil {
		sh.watch("data", full, events)
	}
	text := "null"
	if data != nil {
		text = string(data)
	}
	sh.out.printf("%s\n", text)
	if in.has('s') || len(in.args) > 1 {
		sh.out.printf("%s", statText(st))
	}
	return nil
}

func stat(sh *shell, in input) error {
	path := in.args[0]
	watch := in.has('w')
	if len(in.args) > 1 {
		sh.deprecated("'stat path [watch]' has been deprecated. Please use 'stat [-w] path' instead.")
		watch = true
	}
	conn, full, err := sh.at(path)
	var there bool
	var st *zk.Stat
	var events <-chan zk.Event
	switch {
	case err != nil:
	case watch:
		there, st, events, err = conn.ExistsW(full)
	default:
		there, st, err = conn.Exists(full)
	}
	if err == nil && !there {
		err = zk.ErrNoNode
	}
	if err != nil {
		return explain(err, path)
	}
	if events != nil {
		sh.watch("data", full, events)
	}
	sh.out.printf("%s", statText(st))
	return nil
}

// javaTime is how java.util.Date shows itself.
const javaTime = "Mon Jan 02 15:04:05 MST 2006"

func statText(st *zk.Stat) string {
	return fmt.Sprintf("cZxid = 0x%x\nctime = %s\nmZxid = 0x%x\nmtime = %s\npZxid = 0x%x\ncversion = %d\ndataVersion = %d\naclVersion = %d\n"+
		"ephemeralOwner = 0x%x\ndataLength = %d\nnumChildren = %d\n",
		st.Czxid, time.UnixMilli(st.Ctime).Format(javaTime), st.Mzxid, time.UnixMilli(st.Mtime).Format(javaTime), st.Pzxid,
		st.Cversion, st.Version, st.Aversion, uint64(st.EphemeralOwner), st.DataLength, st.NumChildren)
}

func create(sh *shell, in input) error {
	path := in.args[0]
	var flags int32
	if in.has('s') {
		flags |= zk.FlagSequence
	}
	if in.has('e') {
		flags |= zk.FlagEphemeral
	}
	if in.has('c') && flags != 0 {
		return refusal("-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.")
	}
	var ttl int64
	if in.has('t') {
		var err error
		switch ttl, err = strconv.ParseInt(in.flags['t'], 10, 64); {
		case err != nil:
			return refusal("-t argument must be a long value")
		case in.has('e'):
			return refusal("TTLs cannot be used with Ephemeral znodes")
		case in.has('c'):
			return refusal("TTLs cannot be used with Container znodes")
		}
	}
	var data []byte
	if len(in.args) > 1 {
		data = []byte(in.args[1])
	}
	acl := zk.WorldACL(zk.PermAll)
	if len(in.args) > 2 {
		if acl = sh.acl(in.args[2]); len(acl) == 0 {
			fmt.Fprintln(sh.err, "KeeperErrorCode = InvalidACL")
			return refusal("Acl is not valid : null")
		}
	}
	conn, full, err := sh.at(path)
	var made string
	switch {
	case err != nil:
	case in.has('c'):
		made, err = conn.CreateContainer(full, data, zk.FlagTTL, acl)
	case in.has('t'):
		mode := int32(zk.FlagTTL)
		if in.has('s') {
			mode = zk.FlagTTL | zk.FlagSequence
		}
		made, err = conn.CreateTTL(full, data, mode, acl, time.Duration(ttl)*time.Millisecond)
	default:
		made, err = conn.Create(full, data, flags, acl)
	}
	if err != nil {
		return explain(err, path)
	}
	fmt.Fprintln(sh.err, "Created "+sh.relative(made))
	return nil
}

func set(sh *shell, in input) error {
	path := in.args[0]
	version, err := in.version()
	if err != nil {
		return err
	}
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	st, err := conn.Set(full, []byte(in.args[1]), version)
	if err != nil {
		return explain(err, path)
	}
	if in.has('s') {
		sh.out.printf("%s", statText(st))
	}
	return nil
}

func remove(sh *shell, in input) error {
	path := in.args[0]
	if len(in.args) > 1 {
		sh.deprecated("'delete path [version]' has been deprecated. Please use 'delete [-v version] path' instead.")
		in.flags['v'] = in.args[1]
	}
	version, err := in.version()
	if err != nil {
		return err
	}
	conn, full, err := sh.at(path)
	if err == nil {
		err = conn.Delete(full, version)
	}
	return explain(err, path)
}

func removeOld(sh *shell, in input) error {
	sh.deprecated("The command 'rmr' has been deprecated. Please use 'deleteall' instead.")
	return removeAll(sh, in)
}

// removeAll deletes a node and all below it, children first.
func removeAll(sh *shell, in input) error {
	path := in.args[0]
	conn, full, err := sh.at(path)
	if err != nil {
		return explain(err, path)
	}
	var found []string
	if err := walk(conn, full, func(p string) { found = append(found, p) }); err != nil {
		return explain(err, path)
	}
	for _, p := range slices.Backward(found) {
		if err := conn.Delete(p, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
			return explain(err, sh.relative(p))
		}
	}
	return nil
}

func syncPath(sh *shell, in input) error {
	conn, full, err := sh.at(in.args[0])
	if err == nil {
		_, err = conn.Sync(full)
	}
	if err != nil {
		return explain(err, in.args[0])
	}
	sh.out.printf("Sync is OK\n")
	return nil
}

func config(sh *shell, in input) error {
	conn, err := sh.session()
	if err != nil {
		return explain(err, configNode)
	}
	data, st, err := conn.Get(configNode)
	if err != nil {
		return explain(err, configNode)
	}
	sh.out.printf("%s\n", data)
	if in.has('s') {
		sh.out.printf("%s", statText(st))
	}
	return nil
}

const configNode = "/zookeeper/config"

func listQuota(sh *shell, in input) error {
	path := in.args[0]
	fmt.Fprintf(sh.err, "absolute path is /zookeeper/quota%s/zookeeper_limits\n", path)
	conn, err := sh.session()
	if err != nil {
		return explain(err, path)
	}
	limits, _, err := conn.Get("/zookeeper/quota" + path + "/zookeeper_limits")
	if errors.Is(err, zk.ErrNoNode) {
		fmt.Fprintf(sh.err, "quota for %s does not exist.\n", path)
		return nil
	}
	if err != nil {
		return explain(err, path)
	}
	sh.out.printf("Output quota for %s %s\n", path, limits)
	if used, _, err := conn.Get("/zookeeper/quota" + path + "/zookeeper_stats"); err == nil {
		sh.out.printf("Output stat for %s %s\n", path, used)
	}
	return nil
}
