// A libnvidia-ml.so.1 with two devices that aren't there, for tests. The first has a
// process whose number is in the file that FAKE_NVML_WORKER names, and another one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int number; } device;
static device devices[2] = {{0}, {1}};

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code ? "Not Supported" : "Success"; }

static int text(char *out, unsigned size, const char *what) {
	snprintf(out, size, "%s", what);
	return 0;
}

int nvmlSystemGetDriverVersion(char *out, unsigned size) { return text(out, size, "550.54.15"); }

int nvmlDeviceGetCount_v2(unsigned *count) {
	*count = 2;
	return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **d) {
	*d = &devices[index];
	return 0;
}

int nvmlDeviceGetName(device *d, char *out, unsigned size) { return text(out, size, d->number ? "Fake B200" : "Fake H100 80GB"); }

int nvmlDeviceGetUUID(device *d, char *out, unsigned size) {
	return text(out, size, d->number ? "GPU-6b1f7c1e-0000-4711-8000-00000000000b" : "GPU-6b1f7c1e-0000-4711-8000-00000000000a");
}

int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) {
	*major = d->number ? 10 : 9;
	*minor = 0;
	return 0;
}

int nvmlDeviceGetMemoryInfo(device *d, unsigned long long *total_free_used) {
	total_free_used[0] = 80ull << 30;
	total_free_used[2] = d->number ? 600ull << 20 : 23ull << 30;
	total_free_used[1] = total_free_used[0] - total_free_used[2];
	return 0;
}

int nvmlDeviceGetUtilizationRates(device *d, unsigned *gpu_memory) {
	gpu_memory[0] = d->number ? 0 : 37;
	gpu_memory[1] = 9;
	return 0;
}

int nvmlDeviceGetTemperature(device *d, int sensor, unsigned *degrees) {
	*degrees = d->number ? 29 : 41;
	return 0;
}

int nvmlDeviceGetPowerUsage(device *d, unsigned *milliwatts) {
	*milliwatts = d->number ? 70500 : 182300;
	return d->number ? 3 : 0; // the second device doesn't tell
}

typedef struct {
	unsigned pid;
	unsigned long long memory;
	unsigned gpu_instance, compute_instance;
} process;

int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, process *list) {
	if (d->number) {
		*count = 0;
		return 0;
	}
	if (*count < 2) {
		*count = 2;
		return 7; // the list is too short
	}
	*count = 0;
	list[(*count)++] = (process){.pid = 1, .memory = 20ull << 30};
	const char *name = getenv("FAKE_NVML_WORKER");
	FILE *file = name ? fopen(name, "r") : NULL;
	unsigned pid;
	if (file && fscanf(file, "%u", &pid) == 1)
		list[(*count)++] = (process){.pid = pid, .memory = 2ull << 30};
	if (file)
		fclose(file);
	return 0;
}
