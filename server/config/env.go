package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// serviceLink matches the variables that Kubernetes and docker links add for
// every service: a service called themis makes THEMIS_PORT=tcp://10.0.0.1:8765.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_.*)?$|_PORT_\d+_(TCP|UDP|SCTP)(_.*)?$`)

const serviceLinkHint = "; it looks like a Kubernetes service link: set enableServiceLinks: false in the pod, or call the service something else"

// environment reads the THEMIS_* variables. An unknown one in the name space of
// a section is a problem, as it can only be meant for this server; any other is
// a warning, because other programs may use the prefix.
func (l *loader) environment(environ []string) layer {
	variables := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, envPrefix) {
			variables[name] = value
		}
	}
	values := layer{}
	known := envNames()
	for i := range keys {
		l.variable(&keys[i], variables, values)
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !slices.Contains(known, name) {
			l.unknownVariable(name, known)
		}
	}
	return values
}

// variable stores the value of a key, which may have several names.
func (l *loader) variable(k *key, variables map[string]string, values layer) {
	from := ""
	for _, name := range append([]string{k.envName()}, k.env...) {
		text, ok := variables[name]
		if !ok {
			continue
		}
		if from != "" && text != variables[from] {
			l.problem("%s and %s both set %s, to different values; keep one", from, name, k.path)
			continue
		}
		from = name
	}
	if from == "" {
		return
	}
	text := variables[from]
	if k.kind == integer && strings.HasPrefix(text, "tcp://") {
		l.problem("%s is %q; it must be %s (set by %s)%s", k.path, text, k.expected(), from, serviceLinkHint)
		return
	}
	l.text(k, from, "env "+from, text, values)
}

func (l *loader) unknownVariable(name string, known []string) {
	switch suggestion := nearest(name, known); {
	case serviceLink.MatchString(name):
	case inSection(name):
		l.problem("%s is not a known variable; the nearest is %s", name, suggestion)
	default:
		l.warnings = append(l.warnings, name+" is not a variable of this server; the nearest is "+suggestion)
	}
}

// inSection reports whether a variable lies in the name space of a section.
func inSection(name string) bool {
	for i := range keys {
		section, _, ok := strings.Cut(keys[i].path, ".")
		if ok && strings.HasPrefix(name, envPrefix+strings.ToUpper(section)+"_") {
			return true
		}
	}
	return false
}

func envNames() []string {
	var names []string
	for i := range keys {
		names = append(names, keys[i].envName())
		names = append(names, keys[i].env...)
	}
	return names
}
