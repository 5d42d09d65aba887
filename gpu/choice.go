package gpu

import (
	"context"
	"fmt"
)

// leastCapability is the oldest generation that the kernels of searches run on.
const leastCapability = 8

// Device returns the one with an index; nil if there is none.
func (s *Status) Device(index int) *Device {
	for i := range s.Devices {
		if s.Devices[i].Index == index {
			return &s.Devices[i]
		}
	}
	return nil
}

// Unavailable says why searches can't run on a device, in a sentence without a
// full stop; it is empty if they can. A generation that the driver doesn't tell is
// taken to be new enough: the worker finds out.
func (s *Status) Unavailable(index int) string {
	d := s.Device(index)
	switch {
	case d == nil && len(s.Devices) == 0:
		return s.Reason
	case d == nil && s.Reason != "":
		return fmt.Sprintf("device %d isn't among those that can be used: %s", index, s.Reason)
	case d == nil:
		return fmt.Sprintf("there is no device %d; the driver lists %s", index, s.list())
	}
	var major, minor int
	if n, err := fmt.Sscanf(d.ComputeCapability, "%d.%d", &major, &minor); err == nil && n == 2 && major < leastCapability {
		return fmt.Sprintf("device %d (%s) has compute capability %s; searches need %d.0 or newer", index, d.Name, d.ComputeCapability, leastCapability)
	}
	return ""
}

// list names the devices: "0 to 3", or "0 (NVIDIA H100)".
func (s *Status) list() string {
	first, last := &s.Devices[0], &s.Devices[len(s.Devices)-1]
	if first == last {
		return fmt.Sprintf("%d (%s)", first.Index, first.Name)
	}
	return fmt.Sprintf("%d to %d", first.Index, last.Index)
}

// Unavailable is what Status.Unavailable says of a new reading.
func (p *Probe) Unavailable(ctx context.Context, index int) string {
	s := p.Status(ctx)
	return s.Unavailable(index)
}
