package replication

import "errors"

// What a partition answers when it cannot do what was asked; the handlers give each its code.
var (
	ErrUnknownPartition   = errors.New("this broker does not host the partition and no broker is known to")
	ErrNotLeader          = errors.New("this broker is not the partition's leader, or no replica of it")
	ErrOffline            = errors.New("the partition's log directory is offline")
	ErrFencedLeaderEpoch  = errors.New("the leader epoch of the request is older than the partition's")
	ErrUnknownLeaderEpoch = errors.New("the leader epoch of the request is newer than the partition's")
	ErrNotEnoughReplicas  = errors.New("fewer replicas are in sync than min.insync.replicas")
	// ErrNotEnoughReplicasAfterAppend says that the records were appended and the in-sync replicas became too few while waiting.
	ErrNotEnoughReplicasAfterAppend = errors.New("fewer replicas are in sync than min.insync.replicas, the records were appended")
	ErrOffsetNotAvailable           = errors.New("the high watermark has not reached the start of the leader's epoch yet")
	ErrStaleControllerEpoch         = errors.New("the controller epoch of the request is older than one seen before")
	ErrPolicyViolation              = errors.New("records can be deleted only from topics whose cleanup.policy contains delete")
	ErrTimedOut                     = errors.New("the request timed out before enough replicas followed")
)
