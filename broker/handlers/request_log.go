package handlers

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/broker/server"
	"gregor/internal/logging"
	"gregor/wire"
)

// RequestLogger is the name of the request log. At DEBUG it has a line for each request, at TRACE produce and fetch requests in full.
const RequestLogger = "kafka.request.logger"

// RequestLog writes Kafka's request log while its logger is at DEBUG.
type RequestLog struct{ log logrus.FieldLogger }

// NewRequestLog makes the request log that belongs to a broker's log.
func NewRequestLog(log logrus.FieldLogger) *RequestLog {
	return &RequestLog{logging.Named(log, RequestLogger)}
}

// Describe implements server.RequestLog.
func (l *RequestLog) Describe(r *server.Request) *server.LoggedRequest {
	if !logging.Enabled(l.log, logrus.DebugLevel) {
		return nil
	}
	return &server.LoggedRequest{Request: l.describe(r)}
}

func (l *RequestLog) describe(r *server.Request) string {
	msg := kmsg.RequestForKey(r.Key)
	if msg == nil || wire.Check(r.Key, r.Version, r.Body) != nil {
		return "(malformed)"
	}
	msg.SetVersion(r.Version)
	if err := msg.ReadFrom(r.Body); err != nil {
		return "(malformed)"
	}
	details := logging.Enabled(l.log, logrus.TraceLevel)
	switch m := msg.(type) {
	case *kmsg.ProduceRequest:
		n, sizes := 0, []string(nil)
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				n++
				if details {
					sizes = append(sizes, fmt.Sprintf("%s-%d=%d", t.Topic, p.Partition, len(p.Records)))
				}
			}
		}
		what := "numPartitions=" + strconv.Itoa(n)
		if details {
			what = "partitionSizes=[" + strings.Join(sizes, ",") + "]"
		}
		return fmt.Sprintf("{acks=%d,timeout=%d,%s}", m.Acks, m.TimeoutMillis, what)
	case *kmsg.AlterConfigsRequest:
		for i := range m.Resources {
			for j := range m.Resources[i].Configs {
				m.Resources[i].Configs[j].Value = &hidden
			}
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range m.Resources {
			for j := range m.Resources[i].Configs {
				m.Resources[i].Configs[j].Value = &hidden
			}
		}
	}
	return structText(msg)
}

// hidden stands for the values of settings, which may be secrets.
var hidden = "[hidden]"

// Answer implements server.RequestLog.
func (l *RequestLog) Answer(r *server.Request, body []byte, fileBytes int) string {
	if fileBytes > 0 {
		return "(" + strconv.Itoa(len(body)+fileBytes) + " bytes, " + strconv.Itoa(fileBytes) + " of them from files)"
	}
	msg := kmsg.ResponseForKey(r.Key)
	if msg == nil {
		return "?"
	}
	msg.SetVersion(r.Version)
	if err := msg.ReadFrom(body); err != nil {
		return "(" + strconv.Itoa(len(body)) + " bytes)"
	}
	return structText(msg)
}

// Completed implements server.RequestLog.
func (l *RequestLog) Completed(r *server.Request, d *server.LoggedRequest, t server.Timings) {
	ms := func(d time.Duration) string {
		s := strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	client := "null"
	if r.ClientID != nil {
		client = *r.ClientID
	}
	l.log.Debugf("Completed request:RequestHeader(apiKey=%s, apiVersion=%d, clientId=%s, correlationId=%d) -- %s,response:%s from connection %s;"+
		"totalTime:%s,requestQueueTime:%s,localTime:%s,remoteTime:%s,throttleTime:%d,responseQueueTime:%s,sendTime:%s,securityProtocol:PLAINTEXT,"+
		"principal:%s,listener:%s,clientInformation:ClientInformation(softwareName=unknown, softwareVersion=unknown)",
		strings.ToUpper(snake(wire.APIName(r.Key))), r.Version, client, r.CorrelationID, d.Request, d.Response, r.ConnID(),
		ms(t.Total), ms(t.Queue), ms(t.Local), ms(t.Remote), t.Throttle.Milliseconds(), ms(t.ResponseQueue), ms(t.Send), r.Principal, r.Listener)
}

// structText writes a message as Kafka's request log does: {name=value,...}, arrays in brackets.
func structText(msg any) string {
	var b strings.Builder
	writeText(&b, reflect.Indirect(reflect.ValueOf(msg)))
	return b.String()
}

func writeText(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("null")
			return
		}
		writeText(b, v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		first := true
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Name == "Version" || f.Name == "UnknownTags" || f.Type.Kind() == reflect.Array { // topic ids are of later versions
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			b.WriteString(snake(f.Name))
			b.WriteByte('=')
			writeText(b, v.Field(i))
		}
		b.WriteByte('}')
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "(%d bytes)", v.Len())
			return
		}
		if v.IsNil() {
			b.WriteString("null")
			return
		}
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeText(b, v.Index(i))
		}
		b.WriteByte(']')
	default:
		fmt.Fprint(b, v.Interface())
	}
}

// snake turns the names of fields into those of Kafka's protocol.
func snake(name string) string {
	if name == "ThrottleMillis" {
		return "throttle_time_ms"
	}
	name = strings.NewReplacer("Millis", "Ms", "ISR", "Isr", "ID", "Id", "ZK", "Zk").Replace(name)
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
