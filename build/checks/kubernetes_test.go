package checks

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// object decodes a manifest as strictly as the API server does.
func object[T any](t *testing.T, all map[string][]byte, name string) *T {
	t.Helper()
	text, ok := all[name]
	if !ok {
		t.Fatalf("there is no %s, only %v", name, slices.Sorted(maps.Keys(all)))
	}
	delete(all, name)
	into := new(T)
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return into
}

func TestKubernetes(t *testing.T) {
	all := manifests(t)
	settings := object[core.ConfigMap](t, all, "ConfigMap/themis")
	headless := object[core.Service](t, all, "Service/themis-headless")
	client := object[core.Service](t, all, "Service/themis")
	set := object[apps.StatefulSet](t, all, "StatefulSet/themis")
	policy := object[networking.NetworkPolicy](t, all, "NetworkPolicy/themis")
	if len(all) > 0 {
		t.Errorf("untested: %v", slices.Sorted(maps.Keys(all)))
	}

	pod := set.Spec.Template
	for name, selector := range map[string]map[string]string{
		"headless": headless.Spec.Selector, "client": client.Spec.Selector,
		"set": set.Spec.Selector.MatchLabels, "policy": policy.Spec.PodSelector.MatchLabels,
	} {
		if len(selector) == 0 || !maps.Equal(selector, pod.Labels) {
			t.Errorf("%s selects %v, the pod has %v", name, selector, pod.Labels)
		}
	}
	if *set.Spec.Replicas != 1 || set.Spec.ServiceName != headless.Name || headless.Spec.ClusterIP != core.ClusterIPNone {
		t.Errorf("%d replicas, service %s, address %s", *set.Spec.Replicas, set.Spec.ServiceName, headless.Spec.ClusterIP)
	}
	for _, service := range []*core.Service{headless, client} {
		if p := service.Spec.Ports[0]; p.Port != port || p.TargetPort.StrVal != "http" {
			t.Errorf("%s: %+v", service.Name, p)
		}
	}
	checkContainer(t, set)

	// The server accepts its configuration, and would keep everything on the volume.
	file := filepath.Join(t.TempDir(), "themis.json")
	write(t, file, []byte(settings.Data["themis.json"]))
	validate(t, file)
}

func checkContainer(t *testing.T, set *apps.StatefulSet) {
	t.Helper()
	pod := set.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	if c.Ports[0].ContainerPort != port || c.Ports[0].Name != "http" || !slices.Equal(c.Args, []string{"--config", config}) {
		t.Errorf("ports %+v, args %v", c.Ports, c.Args)
	}
	for path, probe := range map[string]*core.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "http" {
			t.Errorf("%s: %+v", path, probe)
		}
	}
	security := c.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != 10001 || *security.AllowPrivilegeEscalation ||
		!*security.ReadOnlyRootFilesystem || !slices.Equal(security.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("%+v, %+v", pod.SecurityContext, security)
	}
	// Every mount has a volume, and every volume a mount.
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, claim := range set.Spec.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	mounted := map[string]string{}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s is mounted, but isn't there", m.Name)
		}
		delete(volumes, m.Name)
		mounted[m.MountPath] = m.Name
	}
	if len(volumes) > 0 || mounted[dataRoot] != set.Spec.VolumeClaimTemplates[0].Name || mounted[filepath.Dir(config)] == "" {
		t.Errorf("mounts %v, unused %v", mounted, volumes)
	}
}

// TestKubernetesGPU holds that the patch is one of the set's container, by its name, and
// asks for a device.
func TestKubernetesGPU(t *testing.T) {
	all := manifests(t)
	plain := object[apps.StatefulSet](t, all, "StatefulSet/themis").Spec.Template.Spec
	patch := object[apps.StatefulSet](t, map[string][]byte{"patch": read(t, "kubernetes/gpu.yaml")}, "patch").Spec.Template.Spec
	if len(patch.Containers) != 1 || patch.Containers[0].Name != plain.Containers[0].Name {
		t.Fatalf("the containers are %+v", patch.Containers)
	}
	before, c := plain.Containers[0], patch.Containers[0]
	devices := c.Resources.Limits["nvidia.com/gpu"]
	if devices.Value() != 1 || c.Image == before.Image || !slices.Contains(c.Env, core.EnvVar{Name: "THEMIS_VECTOR_INDEX_USE_GPU", Value: "true"}) {
		t.Errorf("%s with %v and %v", c.Image, c.Resources.Limits, c.Env)
	}
	if more := c.Resources.Limits.Memory(); more.Cmp(*before.Resources.Limits.Memory()) <= 0 || more.Cmp(*c.Resources.Requests.Memory()) != 0 {
		t.Errorf("memory: %v", c.Resources)
	}
	if len(before.Env) > 0 || len(plain.Tolerations) > 0 {
		t.Error("the patch replaces what themis.yaml has")
	}
}
