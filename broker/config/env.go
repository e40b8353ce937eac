package config

import (
	"regexp"
	"slices"
	"strings"
)

// notSettings are KAFKA_* variables that the start scripts and images of Kafka give a meaning of their own: JVM options, logging, image
// plumbing. A name that ends in * stands for all that begin so.
var notSettings = []string{
	"HEAP_OPTS", "OPTS", "LOG4J*", "JMX_*", "JVM_PERFORMANCE_OPTS", "GC_LOG_OPTS", "GC_LOG_ENABLED", "DEBUG*", "VERSION", "HOME", "CLASSPATH", "USER",
	"DATA_DIR", "CONF_DIR", "LOG_DIR_*", "MOUNTED_CONF_DIR", "BASE_DIR", "TOOLS_LOG4J*", "ZOOKEEPER_TLS*", "CREATE_TOPICS", "SCALA_VERSION", "OPTIONS",
	"JAVA_OPTS", "EXTRA_*", "REST_*", "KRAFT_*", "CLUSTER_ID", "PROCESS_ROLES", "NODE_ID", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_*",
}

var kubernetesPort = regexp.MustCompile(`^PORT_[0-9]+_(TCP|UDP)`)

// environment turns KAFKA_* variables into settings as the public images do: lower case, _ for a dot, __ for an underscore, ___ for a dash.
// KAFKA_CFG_* is taken as well.
func environment(environ []string) (map[string]string, []Warning) {
	props := make(map[string]string)
	var warnings []Warning
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, ok := strings.Cut(kv, "=")
		rest, isKafka := strings.CutPrefix(name, "KAFKA_")
		if !ok || !isKafka || rest == "" {
			continue
		}
		// Kubernetes describes every service by variables; a service named kafka looks like settings: KAFKA_PORT=tcp://10.0.0.1:9092.
		if kubernetesPort.MatchString(rest) || rest == "PORT" && strings.Contains(value, "://") {
			continue
		}
		rest = strings.TrimPrefix(rest, "CFG_")
		key := envKey(rest)
		if _, known := LookupKey(key); known {
			props[key] = value
			continue
		}
		if strings.HasPrefix(rest, "LOG4J_LOGGERS") || strings.HasPrefix(rest, "LOG4J_ROOT") {
			warnings = append(warnings, Warning{NoEffect, key, "The environment variable " + name + " is for log4j and is ignored; " +
				"KAFKA_GREGOR_LOG_LOGGERS and KAFKA_GREGOR_LOG_LEVEL set the levels of loggers."})
			continue
		}
		if !slices.ContainsFunc(notSettings, func(p string) bool {
			stem, prefix := strings.CutSuffix(p, "*")
			return rest == p || prefix && strings.HasPrefix(rest, stem)
		}) {
			warnings = append(warnings, Warning{UnknownKey, key, "The environment variable " + name + " names no known configuration ('" + key + "') and is ignored."})
		}
	}
	return props, warnings
}

// jmxPort lets JMX_PORT, which makes Kafka's scripts open that port for JMX, open it for metrics, unless the configuration says where.
func jmxPort(props map[string]string, environ []string) {
	if _, given := props["metrics.listener"]; given {
		return
	}
	for _, name := range []string{"JMX_PORT=", "KAFKA_JMX_PORT="} {
		for _, kv := range environ {
			if port, ok := strings.CutPrefix(kv, name); ok && port != "" {
				props["metrics.listener"] = ":" + port
				return
			}
		}
	}
}

func envKey(rest string) string {
	key := strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(strings.ToLower(rest))
	if _, ok := keys[key]; ok {
		return key
	}
	for name := range keys {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return key
}

// listenEverywhere derives the listeners from advertised listeners that came from the environment when none were given, as people's images
// do: the same names and ports on every interface.
func listenEverywhere(props, env map[string]string) {
	advertised, ok := env["advertised.listeners"]
	if _, given := props["listeners"]; given || !ok {
		return
	}
	list := splitList(strings.TrimSpace(advertised))
	for i, l := range list {
		name, address, _ := strings.Cut(l, "://")
		if c := strings.LastIndexByte(address, ':'); c >= 0 {
			list[i] = name + "://0.0.0.0" + address[c:]
		}
	}
	props["listeners"] = strings.Join(list, ",")
}
