package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Root is the checkout's top directory: the nearest parent of the working directory that holds go.mod with this module.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && strings.HasPrefix(string(b), "module gregor\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside Gregor's checkout", dir)
		}
	}
}

// Jars returns the directory that holds the jars of a set ("kafka-2.7.2", "clients-4") that scripts/dev/interop-setup.sh fetched.
func Jars(set string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "jars", set)
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return "", err
	}
	if len(jars) == 0 {
		return "", fmt.Errorf("no jars in %s: run scripts/dev/interop-setup.sh", dir)
	}
	return dir, nil
}

// Classpath is Jars as an argument of java -cp.
func Classpath(set string) (string, error) {
	dir, err := Jars(set)
	if err != nil {
		return "", err
	}
	return dir + "/*", nil
}

// debianZooKeeper is the class path of Debian's package, empty if it is not installed.
func debianZooKeeper() string {
	var cp []string
	for _, jar := range []string{"zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar", "servlet-api.jar"} {
		p := "/usr/share/java/" + jar
		if _, err := os.Stat(p); errors.Is(err, os.ErrNotExist) {
			return ""
		}
		cp = append(cp, p)
	}
	return strings.Join(cp, ":")
}

const log4jProperties = `log4j.rootLogger=%s, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%%d] %%p %%m (%%c)%%n
`

// writeLog4j makes dir/log4j.properties and returns java's option for it.
func writeLog4j(dir, level string) (string, error) {
	name := filepath.Join(dir, "log4j.properties")
	return "-Dlog4j.configuration=file:" + name, os.WriteFile(name, fmt.Appendf(nil, log4jProperties, level), 0o644)
}

// writeProperties makes a properties file; a later map overrides an earlier one.
func writeProperties(name string, maps ...map[string]string) error {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	var b strings.Builder
	for _, k := range sortedKeys(all) {
		fmt.Fprintf(&b, "%s=%s\n", k, all[k])
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
