package devices

import (
	"cmp"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/server/ops"
)

// stateOf says how the worker is, why, and what to do.
func stateOf(s *ops.GPUStats) State {
	w := &s.Worker
	why := ""
	if s.Reason != "" {
		why = format.Sentence(s.Reason)
	}
	switch supervisor.State(w.State) {
	case supervisor.Running:
		return State{Kind: "ok", Word: "running"}
	case supervisor.Starting:
		return State{Kind: "warn", Word: "starting", Reason: "It opens the device; the CPU answers until it runs."}
	case supervisor.Backoff:
		return State{Kind: "warn", Word: "waiting", Reason: why, Todo: "It is started again after a pause. The CPU answers meanwhile."}
	case supervisor.GaveUp:
		return State{Kind: "danger", Word: "given up", Reason: why,
			Todo: "It failed too often in a row, so the CPU answers until it is started anew, here or by a restart of the server. The log has what the worker said."}
	case supervisor.Unavailable:
		return State{Kind: "warn", Word: "unavailable", Reason: why, Todo: unavailableTodo(s)}
	}
	if len(s.Devices) > 0 {
		return State{Word: "off", Reason: why}
	}
	return State{Word: "off", Reason: why, Todo: "To search on a GPU, this machine needs an NVIDIA device with its driver, and the program themis_gpu. " +
		"Then set vector_index.use_gpu to true and restart the server, or let single indexes search on it."}
}

// unavailableTodo is what helps where no worker can be started.
func unavailableTodo(s *ops.GPUStats) string {
	const again = " It is looked for again every half minute, and the CPU answers meanwhile."
	if len(s.Devices) == 0 {
		return "Install NVIDIA's driver; a container has to be given the device, as with --gpus all." + again
	}
	return "Set gpu.device to one of those below and restart the server." + again
}

// alertKind is that of the alert which says why a worker is in a state.
func alertKind(badge string) string { return cmp.Or(badge, "info") }

// causeWord is why a worker ended.
func causeWord(cause string) string {
	return cmp.Or(map[supervisor.Cause]string{
		supervisor.CauseStart: "did not start", supervisor.CauseCrash: "crashed", supervisor.CauseHang: "hung", supervisor.CauseLost: "lost the device",
		supervisor.CauseVersion: "was of another version", supervisor.CauseProtocol: "said what can't be true",
	}[supervisor.Cause(cause)], cause)
}

// indexState says how an index stands with the device.
func indexState(i *ops.GPUIndex) State {
	s := State{Word: i.State}
	if i.Reason != "" {
		s.Reason = format.Sentence(i.Reason)
	}
	switch i.State {
	case "ready":
		s.Kind = "ok"
		if i.Reason != "" {
			s.Kind, s.Word = "warn", "resting"
		}
	case "uploading":
		s.Kind = "info"
	case "too_large":
		s.Kind, s.Word = "warn", "too large"
		s.Todo = "Raise gpu.memory_limit_mb, use a device with more memory, or leave fewer indexes to it."
	case "distrusted":
		s.Kind = "danger"
		s.Todo = "The device gave a wrong answer, which no caller saw. Look at its health (nvidia-smi -q, ECC errors) and restart the server."
	}
	return s
}

// fallbackWords say why the CPU answered a search.
func fallbackWords(reason string) string {
	return cmp.Or(map[string]string{
		"setting":    "the index is set to the CPU",
		"cheaper":    "it is quicker for such searches",
		"recheck":    "to see whether it is still slower",
		"unmeasured": "what such searches take wasn't known yet",
		"waiting":    "there was no worker",
		"uploading":  "the vectors weren't on the device yet",
		"behind":     "too many changes weren't on the device yet",
		"too_large":  "the device has too little memory",
		"distrusted": "the device gave wrong answers before",
		"resting":    "the device had failed shortly before",
		"few":        "all that may be found was wanted",
		"query":      "the device can't answer such a search",
		"timeout":    "the device didn't answer in time",
		"lost":       "the worker ended meanwhile",
		"busy":       "too many searches waited for the device",
		"failed":     "the device reported an error",
		"unproven":   "rounding could have hidden a result",
		"too_few":    "the device found too few",
		"doubted":    "what the device said wasn't true",
	}[reason], reason)
}
