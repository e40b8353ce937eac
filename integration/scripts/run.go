package scripts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gregor/integration/peer"
)

// place is one of the four: whose commands on which broker.
type place struct {
	apache    bool // the commands are Apache's
	kind      peer.Kind
	brokers   []*peer.Broker // by their ids
	broker    string         // the first one's address
	zookeeper string
	dir       string
	bin       string
	java      *java // nil unless apache
	running   *background
}

func (p *place) String() string {
	whose := "gregor's script"
	if p.apache {
		whose = "apache's class"
	}
	return whose + " on " + string(p.kind)
}

// dead is an address where nobody listens: a port that only root may take.
const dead = "127.0.0.1:1"

func (p *place) words(s *step) []string {
	w := strings.NewReplacer("{b}", p.broker, "{z}", p.zookeeper, "{dir}", p.dir, "{dead}", dead)
	out := make([]string, len(s.words))
	for i := range s.words {
		out[i] = w.Replace(s.words[i])
	}
	return out
}

// names puts the placeholders back.
func (p *place) names() *strings.Replacer {
	words := []string{p.zookeeper, "{z}", p.dir, "{dir}"}
	for i, b := range p.brokers {
		n := ""
		if i > 0 {
			n = strconv.Itoa(i)
		}
		_, port, _ := strings.Cut(b.Addr, ":")
		words = append(words, b.Addr, "{b"+n+"}", b.LogDir(), "{logs"+n+"}", port, "{port"+n+"}")
	}
	return strings.NewReplacer(words...)
}

// operate stops or starts the broker of that id.
func (p *place) operate(ctx context.Context, what, id string) error {
	n, err := strconv.Atoi(id)
	if err != nil || n >= len(p.brokers) {
		return fmt.Errorf("no broker %q here", id)
	}
	switch what {
	case "stop":
		return p.brokers[n].Stop(ctx)
	case "start":
		b, err := p.brokers[n].Restart(ctx)
		if err == nil {
			p.brokers[n] = b
		}
		return err
	}
	return fmt.Errorf("cannot %q a broker", what)
}

// commandLimit is how long a command may take.
const commandLimit = 60 * time.Second

// slow is how long a command takes before it is told of.
const slow = 5 * time.Second

// play runs the steps in order. A step that is left out has a nil result.
func (p *place) play(ctx context.Context, t *transcript, skip func(*step) bool) ([]*result, error) {
	var err error
	if p.dir, err = os.MkdirTemp(p.dir, t.name); err != nil {
		return nil, err
	}
	for name, text := range t.files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	defer func() {
		if p.running != nil { // something failed before its ! end
			_ = p.running.cmd.Process.Kill()
			_ = p.running.cmd.Wait()
		}
	}()
	out := make([]*result, len(t.steps))
	for i, s := range t.steps {
		if skip(s) || p.apache && (s.skipApache || s.onKafka && p.kind == peer.Gregor) {
			continue
		}
		began := time.Now()
		r, err := p.step(ctx, s)
		if took := time.Since(began); took > slow {
			log.Printf("line %d, %s, took %v: %s", s.line, p, took.Round(time.Millisecond), s.text())
		}
		if err != nil {
			return nil, fmt.Errorf("line %d, %s, %s: %w", s.line, p, s.text(), err)
		}
		out[i] = &r
	}
	return out, nil
}

func (p *place) step(ctx context.Context, s *step) (result, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(20 * time.Second)
	for {
		r, err := p.once(ctx, s)
		if err != nil || s.until == nil || s.until.MatchString(r.out) || time.Now().After(end) {
			return r, err
		}
		<-tick.C
	}
}

func (p *place) once(ctx context.Context, s *step) (result, error) {
	words := p.words(s)
	switch {
	case s.text() == "! end":
		return p.end()
	case words[0] == "!":
		return result{}, p.operate(ctx, words[1], words[2])
	}
	name, args := p.bin, words
	if p.apache {
		class := classes[words[0]]
		if words[0] == "kafka-run-class" {
			class, words = words[1], words[1:]
		}
		if class == "" {
			return result{}, errors.New("no Java class in classes.go")
		}
		if !s.jvm && !s.background {
			return p.java.run(ctx, class, s.stdin, words[1:])
		}
		name, args = "java", append(p.java.options(), append([]string{class}, words[1:]...)...)
	}
	if s.background {
		var err error
		p.running, err = startBackground(ctx, s.stdin, name, args)
		return result{}, err
	}
	return command(ctx, s.stdin, name, args...)
}

// background is a command that runs beside the others.
type background struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
}

func startBackground(ctx context.Context, stdin []byte, name string, args []string) (*background, error) {
	b := &background{cmd: exec.CommandContext(ctx, name, args...)}
	b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = bytes.NewReader(stdin), &b.out, &b.errs
	b.cmd.WaitDelay = time.Second
	return b, b.cmd.Start()
}

// end asks the command to end; one that does not is killed in the end.
func (p *place) end() (result, error) {
	b := p.running
	if b == nil {
		return result{}, errors.New("nothing was started with &")
	}
	p.running = nil
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return result{}, fmt.Errorf("it has ended already: %w\n%s%s", errors.Join(err, b.cmd.Wait()), &b.out, &b.errs)
	}
	kill := time.AfterFunc(commandLimit, func() { _ = b.cmd.Process.Kill() })
	defer kill.Stop()
	err := b.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	code := b.cmd.ProcessState.ExitCode()
	if status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal()) // as a shell has it
	}
	return result{code, b.out.String(), b.errs.String()}, nil
}

func command(ctx context.Context, stdin []byte, name string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return result{}, fmt.Errorf("%w\n%s%s", err, &out, &errs)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}, nil
}

// java is a JVM that runs one command after the other. It is started with the first, and anew after one that did not end.
type java struct {
	log4j, jars string
	args        []string
	cmd         *exec.Cmd // nil when it does not run
	stdin       io.WriteCloser
	answers     *bufio.Reader
}

// As config/tools-log4j.properties has it.
const log4j = `log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.stderr.Target=System.err
`

// newJava is for integration/java/Commands.java, which java itself compiles, with the classes of a set of jars.
func newJava(dir, set string) (*java, error) {
	root, err := peer.Root()
	if err != nil {
		return nil, err
	}
	j := &java{log4j: filepath.Join(dir, "tools-log4j.properties")}
	if j.jars, err = peer.Jars(set); err != nil {
		return nil, err
	}
	if err := os.WriteFile(j.log4j, []byte(log4j), 0o644); err != nil {
		return nil, err
	}
	all, err := filepath.Glob(filepath.Join(j.jars, "*.jar"))
	if err != nil {
		return nil, err
	}
	var commands, others []string
	for _, jar := range all {
		if base := filepath.Base(jar); strings.HasPrefix(base, "kafka_") || strings.HasPrefix(base, "kafka-tools") {
			commands = append(commands, jar)
		} else {
			others = append(others, jar)
		}
	}
	args := []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + j.log4j, "-cp", strings.Join(others, ":"),
		filepath.Join(root, "integration", "java", "Commands.java")}
	j.args = append(args, commands...)
	return j, nil
}

func (j *java) start() (err error) {
	j.cmd = exec.Command("java", j.args...)
	j.cmd.Stderr = os.Stderr
	if j.stdin, err = j.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := j.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	j.answers = bufio.NewReader(out)
	return j.cmd.Start()
}

// options are those of a JVM for one command.
func (j *java) options() []string {
	return []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + j.log4j, "-cp", j.jars + "/*"}
}

func (j *java) run(ctx context.Context, class string, stdin []byte, args []string) (result, error) {
	in64 := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	line := in64([]byte(class)) + " " + in64(stdin)
	for _, a := range args {
		line += " " + in64([]byte(a))
	}
	if j.cmd == nil {
		if err := j.start(); err != nil {
			return result{}, err
		}
	}
	process := j.cmd.Process
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = process.Kill() })() // ends the read below
	answer, err := "", error(nil)
	if _, err = io.WriteString(j.stdin, line+"\n"); err == nil {
		answer, err = j.answers.ReadString('\n')
	}
	if err != nil {
		j.close()
		return result{}, fmt.Errorf("the class did not end: %w", errors.Join(err, ctx.Err()))
	}
	parts := strings.Split(strings.TrimRight(answer, "\n"), " ")
	if len(parts) != 3 {
		return result{}, fmt.Errorf("unexpected answer %q", answer)
	}
	code, err1 := strconv.Atoi(parts[0])
	out, err2 := base64.StdEncoding.DecodeString(parts[1])
	errs, err3 := base64.StdEncoding.DecodeString(parts[2])
	return result{code, string(out), string(errs)}, errors.Join(err1, err2, err3)
}

func (j *java) close() {
	if j.cmd == nil {
		return
	}
	_ = j.cmd.Process.Kill() // it may hang in a command
	_ = j.cmd.Wait()
	j.cmd = nil
}
