package docs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// note remembers something between two calls of a shim; noted asks for it.
func (s *shim) note(kind, name string) error {
	f, err := os.OpenFile(s.state(kind), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, name)
	return f.Close()
}

func (s *shim) noted(kind, name string) bool {
	content, _ := os.ReadFile(s.state(kind))
	return slices.Contains(strings.Split(string(content), "\n"), name)
}

// docker knows images that it built, and the services of compose files.
func docker(s *shim) error {
	if len(s.args) == 0 {
		return s.unknown()
	}
	verb := s.args[0]
	s.args = s.args[1:]
	switch verb {
	case "build":
		return s.dockerBuild()
	case "run":
		return s.dockerRun()
	case "rm":
		if len(s.args) != 2 || s.args[0] != "-f" || !s.noted("containers", s.args[1]) {
			return s.unknown()
		}
		return nil
	case "compose":
		return s.compose()
	}
	return fmt.Errorf("the documents' docker doesn't know %q", verb)
}

// dockerBuild checks that the Dockerfile and all that it copies are there.
func (s *shim) dockerBuild() error {
	found, err := s.options(nil, []string{"-f", "-t", "--build-arg", "--target"})
	if err != nil || len(s.args) != 1 || found["-t"] == "" {
		return s.unknown()
	}
	dir, file := s.args[0], found["-f"]
	if file == "" {
		file = filepath.Join(dir, "Dockerfile")
	}
	if err := checkDockerfile(file, dir); err != nil {
		return err
	}
	return s.note("images", found["-t"])
}

func checkDockerfile(file, dir string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	from := false
	for line := range strings.Lines(strings.ReplaceAll(string(content), "\\\n", " ")) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		from = from || fields[0] == "FROM"
		if fields[0] != "COPY" || strings.Contains(line, "--from=") {
			continue
		}
		for _, source := range fields[1 : len(fields)-1] {
			if strings.HasPrefix(source, "--") {
				continue
			}
			if match, err := filepath.Glob(filepath.Join(dir, source)); err != nil || len(match) == 0 {
				return fmt.Errorf("%s copies %s, which isn't in %s", file, source, dir)
			}
		}
	}
	if !from {
		return fmt.Errorf("%s has no FROM", file)
	}
	return nil
}

// dockerRun checks the image and the folders that are bound.
func (s *shim) dockerRun() error {
	for len(s.args) > 0 && strings.HasPrefix(s.args[0], "-") {
		switch name := s.args[0]; {
		case slices.Contains([]string{"-d", "--rm", "--read-only"}, name):
			s.args = s.args[1:]
		case slices.Contains([]string{"--name", "-p", "-v", "-e", "--stop-timeout", "--cap-drop"}, name) && len(s.args) > 1:
			if name == "--name" {
				if err := s.note("containers", s.args[1]); err != nil {
					return err
				}
			}
			if host, _, ok := strings.Cut(s.args[1], ":"); name == "-v" && ok && strings.HasPrefix(host, "/") {
				if _, err := os.Stat(host); err != nil {
					return err
				}
			}
			s.args = s.args[2:]
		default:
			return s.unknown()
		}
	}
	if len(s.args) == 0 || !s.noted("images", s.args[0]) {
		return fmt.Errorf("there is no image %q", s.args)
	}
	return nil
}

// composeFile is what the shim looks at.
type composeFile struct {
	Services map[string]struct {
		Image string
		Build struct {
			Context    string
			Dockerfile string
		}
		Volumes   []yaml.Node
		DependsOn yaml.Node `yaml:"depends_on"`
	}
	Volumes map[string]yaml.Node
	Configs map[string]struct{ File string }
	Secrets map[string]struct{ File string }
}

func (s *shim) compose() error {
	found, err := s.options(nil, []string{"-f"})
	if err != nil || len(s.args) == 0 {
		return s.unknown()
	}
	file := found["-f"]
	if file == "" {
		file = "docker-compose.yml"
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c composeFile
	if err := yaml.Unmarshal(content, &c); err != nil {
		return err
	}
	if err := c.check(filepath.Dir(file)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	verb := s.args[0]
	s.args = s.args[1:]
	if _, err := s.options([]string{"-d", "--build", "--wait"}, nil); err != nil || !slices.Contains([]string{"up", "down", "ps", "logs", "stop", "start", "config"}, verb) {
		return s.unknown()
	}
	for _, service := range s.args {
		if _, ok := c.Services[service]; !ok {
			return fmt.Errorf("no such service: %s", service)
		}
	}
	return nil
}

// check holds that every file that the services need is there.
func (c *composeFile) check(dir string) error {
	if len(c.Services) == 0 {
		return errors.New("there are no services")
	}
	for name, service := range c.Services {
		if service.Build.Context != "" {
			context := filepath.Join(dir, service.Build.Context)
			dockerfile := service.Build.Dockerfile
			if dockerfile == "" {
				dockerfile = "Dockerfile"
			}
			if err := checkDockerfile(filepath.Join(context, dockerfile), context); err != nil {
				return err
			}
		} else if service.Image == "" {
			return fmt.Errorf("the service %s has neither an image nor a build", name)
		}
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume.Value, ":")
			if volume.Kind != yaml.ScalarNode {
				var long struct{ Type, Source string }
				if err := volume.Decode(&long); err != nil {
					return err
				}
				source = long.Source
			}
			if _, declared := c.Volumes[source]; source == "" || declared {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, source)); err != nil {
				return fmt.Errorf("the service %s: %w", name, err)
			}
		}
	}
	for _, files := range []map[string]struct{ File string }{c.Configs, c.Secrets} {
		for _, f := range files {
			if err := isFile(filepath.Join(dir, f.File)); f.File != "" && err != nil {
				return err
			}
		}
	}
	return nil
}

// kubectl knows the objects that were applied or created.
func kubectl(s *shim) error {
	if len(s.args) < 2 {
		return s.unknown()
	}
	verb := s.args[0]
	s.args = s.args[1:]
	switch verb {
	case "apply":
		return s.kubeApply()
	case "create":
		return s.kubeCreate()
	case "rollout":
		if s.args[0] != "status" {
			return s.unknown()
		}
		s.args = s.args[1:]
		if _, err := s.options(nil, []string{"-n", "--namespace"}); err != nil || len(s.args) == 0 {
			return s.unknown()
		}
		if !s.noted("objects", strings.ToLower(s.args[0])) {
			return fmt.Errorf("%s not found", s.args[0])
		}
		return nil
	}
	return fmt.Errorf("the documents' kubectl doesn't know %q", verb)
}

func (s *shim) kubeApply() error {
	found, err := s.options(nil, []string{"-f", "-k", "-n", "--namespace"})
	if err != nil || len(s.args) > 0 || found["-f"]+found["-k"] == "" {
		return s.unknown()
	}
	files := []string{found["-f"] + found["-k"]}
	if info, err := os.Stat(files[0]); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(files[0], "*.y*ml")); err != nil || len(files) == 0 {
			return errors.New("there is nothing to apply")
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := s.kubeObjects(file, content); err != nil {
			return err
		}
	}
	return nil
}

func (s *shim) kubeObjects(file string, content []byte) error {
	for d := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var object struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Metadata   struct{ Name string }
		}
		err := d.Decode(&object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if object.Kind == "Kustomization" {
			continue
		}
		if object.APIVersion == "" || object.Kind == "" || object.Metadata.Name == "" {
			return fmt.Errorf("%s: an object without apiVersion, kind or name", file)
		}
		name := strings.ToLower(object.Kind) + "/" + object.Metadata.Name
		fmt.Println(name, "created")
		if err := s.note("objects", name); err != nil {
			return err
		}
	}
}

func (s *shim) kubeCreate() error {
	if len(s.args) < 2 {
		return s.unknown()
	}
	kind := s.args[0]
	s.args = s.args[1:]
	if kind == "secret" && s.args[0] == "generic" {
		s.args = s.args[1:]
	}
	if !slices.Contains([]string{"secret", "namespace", "configmap"}, kind) || len(s.args) == 0 {
		return s.unknown()
	}
	name := kind + "/" + s.args[0]
	s.args = s.args[1:]
	for _, arg := range s.args {
		flag, value, _ := strings.Cut(arg, "=")
		if flag != "--from-file" && flag != "--from-literal" && flag != "--namespace" {
			return s.unknown()
		}
		if _, path, ok := strings.Cut(value, "="); flag == "--from-file" {
			if !ok {
				path = value
			}
			if err := isFile(path); err != nil {
				return err
			}
		}
	}
	fmt.Println(name, "created")
	return s.note("objects", name)
}
