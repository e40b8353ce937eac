package zkmeta

import (
	"strings"

	"github.com/go-zookeeper/zk"
)

// sensitiveRoots hold secrets: with ACLs in force the world may not even read them.
var sensitiveRoots = []string{"/config/" + EntityUsers, "/config/" + EntityBrokers, PathDelegationToken + "/tokens"}

var (
	aclOpen       = zk.WorldACL(zk.PermAll)
	aclCreatorAll = zk.AuthACL(zk.PermAll)
	aclReadable   = append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
)

// defaultACL is the list that Kafka gives a znode: open to the world unless zookeeper.set.acl is on. The consumers of old write
// below /consumers themselves, so that stays open.
func defaultACL(secure bool, path string) []zk.ACL {
	if !secure || path == PathConsumers {
		return aclOpen
	}
	for _, p := range sensitiveRoots {
		if strings.HasPrefix(path, p) {
			return aclCreatorAll
		}
	}
	return aclReadable
}
