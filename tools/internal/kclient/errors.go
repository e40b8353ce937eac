package kclient

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// APIError is a failure with the class name and message of the exception that Apache's Java tools show.
type APIError struct {
	Code    int16
	Class   string
	Message string
}

func (e *APIError) Error() string { return e.Message }

// Trace is how the failure reads in a log: the exception's first line.
func (e *APIError) Trace() string { return e.Class + ": " + e.Message }

const errorsPackage = "org.apache.kafka.common.errors."

// classes are the exceptions whose names do not follow from the error's name.
var classes = map[int16]string{
	kerr.UnknownServerError.Code:      "UnknownServerException",
	kerr.UnknownTopicOrPartition.Code: "UnknownTopicOrPartitionException",
	kerr.TopicAlreadyExists.Code:      "TopicExistsException",
	kerr.InvalidTopicException.Code:   "InvalidTopicException",
	kerr.MessageTooLarge.Code:         "RecordTooLargeException",
	kerr.RequestTimedOut.Code:         "TimeoutException",
	kerr.InvalidConfig.Code:           "InvalidConfigurationException",
	kerr.NotLeaderForPartition.Code:   "NotLeaderOrFollowerException",
	kerr.NetworkException.Code:        "NetworkException",
	kerr.OffsetOutOfRange.Code:        "OffsetOutOfRangeException",
	kerr.CorruptMessage.Code:          "CorruptRecordException",
}

// messages are Kafka's default texts where kerr, which follows newer versions, words them otherwise.
var messages = map[int16]string{
	kerr.UnknownTopicOrPartition.Code: "This server does not host this topic-partition.",
	kerr.TopicAlreadyExists.Code:      "Topic with this name already exists.",
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
		return &APIError{Code: kerr.RequestTimedOut.Code, Class: errorsPackage + "TimeoutException",
			Message: "Timed out waiting for a node assignment. Call: " + doing}
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
