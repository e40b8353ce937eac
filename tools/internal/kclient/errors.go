package kclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gregor/tools/internal/cli"
)

// APIError is a failure with the class name and message of the exception that Apache's Java tools show.
type APIError struct {
	Code    int16
	Class   string
	Message string
	Empty   bool  // an empty Message is one, not none
	Cause   error // what Java chains to it; may be nil
}

func (e *APIError) Unwrap() error { return e.Cause }

func (e *APIError) Error() string { return e.Message }

// Trace is how the failure reads in a log: the exception's first line.
func (e *APIError) Trace() string {
	if e.Message == "" && !e.Empty {
		return e.Class
	}
	return e.Class + ": " + e.Message
}

const errorsPackage = "org.apache.kafka.common.errors."

// classes are the exceptions whose names do not follow from the error's name.
var classes = map[int16]string{
	kerr.UnknownServerError.Code:                 "UnknownServerException",
	kerr.CorruptMessage.Code:                     "CorruptRecordException",
	kerr.NotLeaderForPartition.Code:              "NotLeaderOrFollowerException",
	kerr.RequestTimedOut.Code:                    "TimeoutException",
	kerr.MessageTooLarge.Code:                    "RecordTooLargeException",
	kerr.StaleControllerEpoch.Code:               "ControllerMovedException",
	kerr.OffsetMetadataTooLarge.Code:             "OffsetMetadataTooLarge",
	kerr.RecordListTooLarge.Code:                 "RecordBatchTooLargeException",
	kerr.TopicAuthorizationFailed.Code:           "TopicAuthorizationException",
	kerr.GroupAuthorizationFailed.Code:           "GroupAuthorizationException",
	kerr.ClusterAuthorizationFailed.Code:         "ClusterAuthorizationException",
	kerr.TopicAlreadyExists.Code:                 "TopicExistsException",
	kerr.InvalidConfig.Code:                      "InvalidConfigurationException",
	kerr.OutOfOrderSequenceNumber.Code:           "OutOfOrderSequenceException",
	kerr.DuplicateSequenceNumber.Code:            "DuplicateSequenceException",
	kerr.InvalidProducerIDMapping.Code:           "InvalidPidMappingException",
	kerr.InvalidTransactionTimeout.Code:          "InvalidTxnTimeoutException",
	kerr.TransactionalIDAuthorizationFailed.Code: "TransactionalIdAuthorizationException",
	kerr.KafkaStorageError.Code:                  "KafkaStorageException",
	kerr.SaslAuthenticationFailed.Code:           "SaslAuthenticationException",
	kerr.DelegationTokenAuthDisabled.Code:        "DelegationTokenDisabledException",
	kerr.DelegationTokenRequestNotAllowed.Code:   "UnsupportedByAuthenticationException",
	kerr.DelegationTokenAuthorizationFailed.Code: "DelegationTokenAuthorizationException",
	kerr.NonEmptyGroup.Code:                      "GroupNotEmptyException",
}

// messages are Kafka's default texts where kerr, which follows newer versions, words them otherwise. Those that only lack the full
// stop are in unfinished.
var messages = map[int16]string{
	kerr.NotLeaderForPartition.Code: "For requests intended only for the leader, this error indicates that the broker is not the current leader. " +
		"For requests intended for any replica, this error indicates that the broker is not a replica of the topic partition.",
	kerr.ReplicaNotAvailable.Code: "The replica is not available for the requested topic-partition. Produce/Fetch requests and other requests " +
		"intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the broker is not a replica of the topic-partition.",
	kerr.InvalidGroupID.Code:                     "The configured groupId is invalid.",
	kerr.TopicAuthorizationFailed.Code:           "Topic authorization failed.",
	kerr.GroupAuthorizationFailed.Code:           "Group authorization failed.",
	kerr.InvalidProducerEpoch.Code:               "Producer attempted to produce with an old epoch.",
	kerr.TransactionalIDAuthorizationFailed.Code: "Transactional Id authorization failed.",
	kerr.InvalidRecord.Code:                      "This record has failed the validation on broker and hence will be rejected.",
	kerr.UnknownTopicOrPartition.Code:            "This server does not host this topic-partition.",
	kerr.TopicAlreadyExists.Code:                 "Topic with this name already exists.",
}

// unfinished are the errors whose text in kerr lacks the full stop.
var unfinished = []int16{
	kerr.MessageTooLarge.Code, kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code, kerr.StaleBrokerEpoch.Code,
	kerr.OffsetNotAvailable.Code, kerr.MemberIDRequired.Code, kerr.PreferredLeaderNotAvailable.Code, kerr.GroupMaxSizeReached.Code,
	kerr.EligibleLeadersNotAvailable.Code, kerr.ElectionNotNeeded.Code,
}

// Error turns an error code and the broker's own message into an *APIError; nil for code 0.
func Error(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	e := kerr.TypedErrorForCode(code)
	if e == nil {
		e = kerr.UnknownServerError
	}
	out := &APIError{Code: code, Message: e.Description}
	if m, ok := messages[code]; ok {
		out.Message = m
	} else if slices.Contains(unfinished, code) {
		out.Message += "."
	}
	if message != nil && *message != "" {
		out.Message = *message
	}
	out.Class = errorsPackage + className(code, e.Message)
	return out
}

func className(code int16, name string) string {
	if c, ok := classes[code]; ok {
		return c
	}
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	if s := b.String(); strings.HasSuffix(s, "Exception") {
		return s
	}
	return b.String() + "Exception"
}

// Wrap gives any failure of a request the shape of an *APIError.
func Wrap(err error, doing string) error {
	var api *APIError
	var k *kerr.Error
	switch {
	case err == nil || errors.As(err, &api):
		return err
	case errors.As(err, &k):
		return Error(k.Code, nil)
	case errors.Is(err, context.DeadlineExceeded):
		now := time.Now().UnixMilli()
		return &APIError{Code: kerr.RequestTimedOut.Code, Class: errorsPackage + "TimeoutException",
			Message: fmt.Sprintf("Call(callName=%s, deadlineMs=%d, tries=1, nextAllowedTryMs=%d) timed out at %d after 1 attempt(s)", doing, now, now+100, now),
			Cause: &APIError{Code: kerr.RequestTimedOut.Code, Class: errorsPackage + "TimeoutException",
				Message: "Timed out waiting for a node assignment. Call: " + doing}}
	}
	if strings.Contains(err.Error(), "broker is too old") { // kgo has no name for it
		return &APIError{Code: kerr.UnsupportedVersion.Code, Class: errorsPackage + "UnsupportedVersionException", Message: "The broker does not support " + doing}
	}
	return &APIError{Code: -1, Class: "org.apache.kafka.common.KafkaException", Message: doing + ": " + err.Error()}
}

// ConfigError is a configuration that Java's ConfigDef refuses.
func ConfigError(message string) error {
	return &APIError{Class: "org.apache.kafka.common.config.ConfigException", Message: message}
}

// IllegalArgument is Java's exception for a bad argument.
func IllegalArgument(message string) error {
	return &APIError{Class: "java.lang.IllegalArgumentException", Message: message}
}

// NumberFormat is Java's exception for a word that is no number.
func NumberFormat(word string) error {
	return &APIError{Class: "java.lang.NumberFormatException", Message: fmt.Sprintf("For input string: %q", word)}
}

// CausedError is an exception that only says what could not be done; the cause tells why.
type CausedError struct {
	Class   string
	Message string
	Cause   error
}

func (e *CausedError) Error() string { return e.Message + ": " + e.Cause.Error() }

func (e *CausedError) Unwrap() error { return e.Cause }

// Executed is how the failure of a request reaches those who wait for it.
func Executed(err error) error {
	if err == nil {
		return nil
	}
	return &CausedError{Class: "java.util.concurrent.ExecutionException", Message: trace(err), Cause: err}
}

// Trace is an error as the first line of Java's stack trace shows it.
func Trace(err error) string { return trace(err) }

func trace(err error) string {
	switch e := err.(type) { //nolint:errorlint // the outermost exception is the one to name
	case *APIError:
		return e.Trace()
	case *CausedError:
		return e.Class + ": " + e.Message
	case *cli.OptionError:
		return "joptsimple." + e.Class + ": " + e.Message
	}
	return err.Error()
}

// Uncaught shows an error as a Java program does whose main method throws it, without the stack, and returns the exit code.
func Uncaught(w io.Writer, err error) int {
	fmt.Fprint(w, `Exception in thread "main" `)
	PrintTrace(w, err)
	return 1
}

// PrintTrace shows an error as Java's printStackTrace does, without the stack. An error that is none of Java's has said all itself.
func PrintTrace(w io.Writer, err error) {
	fmt.Fprintln(w, trace(err))
	for {
		switch err.(type) { //nolint:errorlint // one cause after the other
		case *APIError, *CausedError:
			err = errors.Unwrap(err)
		default:
			return
		}
		if err != nil {
			fmt.Fprintln(w, "Caused by: "+trace(err))
		}
	}
}
