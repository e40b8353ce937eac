package config

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Listener is an address with its name. An empty Host binds every interface; in an advertised listener it stands for the machine's name.
type Listener struct {
	Name     string
	Protocol string
	Host     string
	Port     int
}

// String is NAME://host:port, with brackets around an IPv6 address.
func (l Listener) String() string {
	return l.Name + "://" + l.Address()
}

// Address is host:port for net.Listen and net.Dial.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

var endpoint = regexp.MustCompile(`^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)$`)

var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// ResolveAdvertised replaces an empty host by the machine's name and port 0 by the port that was bound for the listener.
func (b *Broker) ResolveAdvertised(boundPort func(listener string) int) ([]Listener, error) {
	out := slices.Clone(b.Advertised)
	for i := range out {
		if strings.TrimSpace(out[i].Host) == "" {
			h, err := os.Hostname()
			if err != nil {
				return nil, fmt.Errorf("finding the host name to advertise for listener %s: %w; set advertised.listeners", out[i].Name, err)
			}
			out[i].Host = h
		}
		if out[i].Port == 0 {
			out[i].Port = boundPort(out[i].Name)
		}
	}
	return out, nil
}

// DataPlaneListeners are all but the control-plane listener.
func (b *Broker) DataPlaneListeners() []Listener {
	return slices.DeleteFunc(slices.Clone(b.Listeners), func(l Listener) bool { return l.Name == b.ControlPlaneListener })
}

func (b *Broker) fillListeners() error {
	protocols, err := b.protocolMap()
	if err != nil {
		return err
	}
	key, text := "listeners", b.str("listeners")
	if _, ok := b.Get("listeners"); !ok {
		key, text = "port", "PLAINTEXT://"+b.str("host.name")+":"+b.str("port")
	}
	if b.Listeners, err = parseListeners(key, text, protocols, true); err != nil {
		return err
	}
	b.Advertised = b.Listeners
	_, host := b.first("advertised.host.name", "host.name")
	_, port := b.first("advertised.port", "port")
	_, hostSet := b.Get("advertised.host.name")
	_, portSet := b.Get("advertised.port")
	key, text = "advertised.port", "PLAINTEXT://"+host+":"+port
	if t, ok := b.Get("advertised.listeners"); ok {
		key, text = "advertised.listeners", t
	} else if !hostSet && !portSet {
		key = ""
	}
	if key != "" {
		if b.Advertised, err = parseListeners(key, text, protocols, false); err != nil {
			return err
		}
	}
	if err := b.fillInterBroker(protocols); err != nil {
		return err
	}
	if name, ok := b.Get("control.plane.listener.name"); ok {
		b.ControlPlaneListener = strings.ToUpper(name)
		if protocols[b.ControlPlaneListener] == "" {
			return refuse("control.plane.listener.name", "Listener with %s defined in control.plane.listener.name not found in "+
				"listener.security.protocol.map.", b.ControlPlaneListener)
		}
	}
	return nil
}

func (b *Broker) fillInterBroker(protocols map[string]string) error {
	name, named := b.Get("inter.broker.listener.name")
	if !named {
		p := b.str("security.inter.broker.protocol")
		if !slices.Contains(securityProtocols, strings.ToUpper(p)) {
			return refuse("security.inter.broker.protocol", "Invalid security protocol `%s` defined in security.inter.broker.protocol; it is one of %s",
				p, strings.Join(securityProtocols, ", "))
		}
		b.InterBrokerListener = strings.ToUpper(p)
		return nil
	}
	if _, ok := b.levels.effective()["security.inter.broker.protocol"]; ok {
		return refuse("inter.broker.listener.name", "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.")
	}
	b.InterBrokerListener = strings.ToUpper(name)
	if protocols[b.InterBrokerListener] == "" {
		return refuse("inter.broker.listener.name", "Listener with name %s defined in inter.broker.listener.name not found in "+
			"listener.security.protocol.map.", b.InterBrokerListener)
	}
	return nil
}

func (b *Broker) protocolMap() (map[string]string, error) {
	const key = "listener.security.protocol.map"
	pairs, err := b.csvMap(key)
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		protocol := strings.ToUpper(p[1])
		if !slices.Contains(securityProtocols, protocol) {
			return nil, refuse(key, "Invalid security protocol `%s` defined in %s; it is one of %s", p[1], key, strings.Join(securityProtocols, ", "))
		}
		m[strings.ToUpper(p[0])] = protocol
	}
	return m, nil
}

func parseListeners(key, text string, protocols map[string]string, distinctPorts bool) ([]Listener, error) {
	var out []Listener
	names, ports := make(map[string]bool), make(map[int]bool)
	fail := func(why, more string) error {
		e := refuse(key, "Error creating broker listeners from '%s': %s", text, why)
		e.more = " (" + key + "; " + more + ")"
		return e
	}
	for _, item := range splitList(text) {
		if item == "" {
			continue
		}
		m := endpoint.FindStringSubmatch(item)
		if m == nil {
			return nil, fail("Unable to parse "+item+" to a broker endpoint", "it is NAME://host:port")
		}
		l := Listener{Name: strings.ToUpper(m[1]), Host: m[2]}
		port, err := strconv.ParseInt(m[3], 10, 32)
		if err != nil || port > 65535 {
			return nil, fail(fmt.Sprintf("port %s of %s is not in 0..65535", m[3], item), "choose another")
		}
		l.Port = int(port)
		if l.Protocol = protocols[l.Name]; l.Protocol == "" {
			return nil, fail("No security protocol defined for listener "+l.Name, "add it to listener.security.protocol.map")
		}
		if names[l.Name] {
			return nil, require(key, "Each listener must have a different name, listeners: "+text, " (%s)", key)
		}
		if distinctPorts && l.Port != 0 && ports[l.Port] {
			return nil, require(key, "Each listener must have a different port, listeners: "+text, " (%s)", key)
		}
		names[l.Name], ports[l.Port] = true, true
		out = append(out, l)
	}
	return out, nil
}
