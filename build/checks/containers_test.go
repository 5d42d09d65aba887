package checks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"go.yaml.in/yaml/v3"
)

const defaultPort = "8765"

// dockerfile is a parsed Dockerfile; BuildKit's linter has nothing to say of it.
func dockerfile(t *testing.T, name string) []instructions.Stage {
	t.Helper()
	result, err := parser.Parse(bytes.NewReader(read(t, "docker/"+name)))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings {
		t.Errorf("%s", w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	stages, _, err := instructions.Parse(result.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func TestDockerfile(t *testing.T) { checkDockerfile(t, "Dockerfile") }

// TestDockerfileGPU holds that the image for GPUs is the other one, with CUDA where it is
// built, and what the NVIDIA runtime wants to be told.
func TestDockerfileGPU(t *testing.T) {
	env := checkDockerfile(t, "Dockerfile.gpu")
	for name, want := range map[string]string{
		"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility", "THEMIS_VECTOR_INDEX_USE_GPU": "true",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if !bytes.Equal(read(t, "docker/Dockerfile.gpu.dockerignore"), read(t, "docker/Dockerfile.dockerignore")) {
		t.Error("the two images are built from different files")
	}
	if !bytes.Contains(read(t, "docker/Dockerfile.gpu"), []byte("test -x /out/bin/themis_gpu")) {
		t.Error("the image may come without the worker")
	}
}

// checkDockerfile checks what all images have in common, and returns the environment.
func checkDockerfile(t *testing.T, name string) map[string]string {
	t.Helper()
	stages := dockerfile(t, name)
	for _, stage := range stages {
		for _, command := range stage.Commands {
			if c, ok := command.(*instructions.CopyCommand); ok && c.From == "" {
				for _, source := range c.SourcePaths {
					if _, err := os.Stat(filepath.Join(root, source)); err != nil {
						t.Errorf("COPY %s: %v", source, err)
					}
				}
			}
		}
	}
	final := stages[len(stages)-1]
	var user, entry, cmd, check string
	env := map[string]string{}
	for _, command := range final.Commands {
		switch c := command.(type) {
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				env[pair.Key] = pair.Value
			}
		case *instructions.RunCommand:
			t.Errorf("the result runs %v: it should have nothing but the program", c.CmdLine)
		case *instructions.UserCommand:
			user = c.User
		case *instructions.ExposeCommand:
			if !slices.Equal(c.Ports, []string{defaultPort}) {
				t.Errorf("EXPOSE %v", c.Ports)
			}
		case *instructions.VolumeCommand:
			if !slices.Equal(c.Volumes, []string{dataRoot}) {
				t.Errorf("VOLUME %v", c.Volumes)
			}
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
		case *instructions.CmdCommand:
			cmd = strings.Join(c.CmdLine, " ")
		case *instructions.HealthCheckCommand:
			check = strings.Join(c.Health.Test, " ")
		}
	}
	if user != "10001:10001" || entry != program || cmd != "--config "+config || check != "CMD "+program+" --config "+config+" --healthcheck" {
		t.Errorf("USER %s, ENTRYPOINT %s, CMD %s, HEALTHCHECK %s", user, entry, cmd, check)
	}
	if bytes.Contains(read(t, "docker/"+name), []byte("curl")) {
		t.Error("the image needs no curl")
	}
	return env
}

// compose loads Compose files, the later over the earlier ones.
func compose(t *testing.T, names ...string) *types.Project {
	t.Helper()
	for i := range names {
		names[i] = filepath.Join(deploy, "docker", names[i])
	}
	options, err := cli.NewProjectOptions(names, cli.WithResolvedPaths(true), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeGPU holds that the variant changes the image, the device and the switch.
func TestComposeGPU(t *testing.T) {
	plain, gpu := compose(t, "compose.yml").Services["themis"], compose(t, "compose.yml", "compose.gpu.yml").Services["themis"]
	if gpu.Build.Dockerfile != "deploy/docker/Dockerfile.gpu" || gpu.Build.Context != plain.Build.Context || gpu.Image == plain.Image {
		t.Errorf("%s is built from %+v", gpu.Image, gpu.Build)
	}
	if use := gpu.Environment["THEMIS_VECTOR_INDEX_USE_GPU"]; use == nil || *use != "true" {
		t.Errorf("the environment is %v", gpu.Environment)
	}
	if gpu.Deploy == nil || gpu.Deploy.Resources.Reservations == nil || len(gpu.Deploy.Resources.Reservations.Devices) != 1 {
		t.Fatalf("deploy is %+v", gpu.Deploy)
	}
	if d := gpu.Deploy.Resources.Reservations.Devices[0]; d.Driver != "nvidia" || d.Count != 1 || !slices.Contains(d.Capabilities, "gpu") {
		t.Errorf("the device is %+v", d)
	}
	gpu.Build.Dockerfile, gpu.Image, gpu.Environment, gpu.Deploy = plain.Build.Dockerfile, plain.Image, plain.Environment, plain.Deploy
	if !reflect.DeepEqual(gpu, plain) {
		t.Errorf("something else differs:\n%+v\n%+v", gpu, plain)
	}
}

func TestCompose(t *testing.T) {
	project := compose(t, "compose.yml")
	mounts := map[string]string{}
	for name, service := range project.Services {
		for _, p := range service.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s beyond this machine", name, p.Published)
			}
		}
		if !strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest") {
			t.Errorf("%s: the image %s names no version", name, service.Image)
		}
		if !slices.Contains(service.CapDrop, "ALL") {
			t.Errorf("%s keeps capabilities", name)
		}
		for _, v := range service.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s mounts %s: %v, read-only %t", name, v.Source, err, v.ReadOnly)
			}
			mounts[name+":"+v.Target] = filepath.Base(v.Source)
		}
	}
	themis := project.Services["themis"]
	if len(themis.Ports) != 1 || themis.Ports[0].Published != defaultPort || themis.Ports[0].Target != port {
		t.Errorf("ports: %+v", themis.Ports)
	}
	if !themis.ReadOnly || themis.Build == nil || themis.Build.Dockerfile != "deploy/docker/Dockerfile" {
		t.Errorf("read-only %t, build %+v", themis.ReadOnly, themis.Build)
	}
	if context, err := filepath.Abs(root); err != nil || themis.Build.Context != context {
		t.Errorf("the context is %s, want %s (%v)", themis.Build.Context, context, err)
	}
	for target, source := range map[string]string{
		"themis:" + config: "themis.json", "prometheus:/etc/prometheus/prometheus.yml": "prometheus.yml",
		"prometheus:/etc/prometheus/alerts.yml": "alerts.yml", "grafana:/etc/grafana/provisioning": "provisioning",
		"grafana:" + dashboardFolder(t): "dashboards",
	} {
		if mounts[target] != source {
			t.Errorf("%s is %q, want %q", target, mounts[target], source)
		}
	}
}

// dashboardFolder is where Grafana looks for dashboards.
func dashboardFolder(t *testing.T) string {
	var c struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	strict(t, "grafana/provisioning/dashboards/themis.yml", &c)
	if len(c.Providers) != 1 || c.Providers[0].Type != "file" {
		t.Fatalf("%+v", c)
	}
	return c.Providers[0].Options.Path
}

// manifests are the documents of the Kubernetes file, by kind and name.
func manifests(t *testing.T) map[string][]byte {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, "kubernetes/themis.yaml")))
	all := map[string][]byte{}
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := document.Decode(&head); err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(&document)
		if err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprintf("%s/%s", head.Kind, head.Metadata.Name)] = text
	}
}
