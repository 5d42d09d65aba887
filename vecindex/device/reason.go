package device

import (
	"fmt"
	"time"
)

// Reason is why a search was answered by the engine that answered it: a branch of the
// decision.
type Reason uint8

const (
	// ReasonSetting: the index is set to use the device whenever it can.
	ReasonSetting Reason = iota
	// ReasonCheaper: this engine is the cheaper one for such searches.
	ReasonCheaper
	// ReasonRecheck: the other one was tried, to see whether it still is the dearer one.
	ReasonRecheck
	// ReasonUnmeasured: it isn't known yet what such searches cost here.
	ReasonUnmeasured
	// ReasonWaiting: there is no worker.
	ReasonWaiting
	// ReasonUploading: the device doesn't have all vectors yet.
	ReasonUploading
	// ReasonBehind: more changes than a search looks at itself aren't on the device yet.
	ReasonBehind
	// ReasonTooLarge: the device's memory is too small.
	ReasonTooLarge
	// ReasonDistrusted: the device gave wrong answers.
	ReasonDistrusted
	// ReasonResting: the device failed a short time ago.
	ReasonResting
	// ReasonFew: as many are wanted as there are, or the filter lets through.
	ReasonFew
	// ReasonQuery: the device can't answer this query: more hits are wanted than it
	// gives, or the vector isn't one.
	ReasonQuery
	// ReasonTimeout: the device didn't answer in time.
	ReasonTimeout
	// ReasonLost: the worker ended while it was asked.
	ReasonLost
	// ReasonBusy: too many searches wait for the device.
	ReasonBusy
	// ReasonFailed: the device reported an error.
	ReasonFailed
	// ReasonUnproven: an exact search can't rule out that rounding hid a hit.
	ReasonUnproven
	// ReasonTooFew: the device found fewer than there are.
	ReasonTooFew
	// ReasonDoubted: what the device said of a hit isn't true.
	ReasonDoubted

	numReasons
)

var reasonNames = [numReasons]string{
	ReasonSetting: "setting", ReasonCheaper: "cheaper", ReasonRecheck: "recheck", ReasonUnmeasured: "unmeasured",
	ReasonWaiting: "waiting", ReasonUploading: "uploading", ReasonBehind: "behind", ReasonTooLarge: "too_large",
	ReasonDistrusted: "distrusted", ReasonResting: "resting", ReasonFew: "few", ReasonQuery: "query",
	ReasonTimeout: "timeout", ReasonLost: "lost", ReasonBusy: "busy", ReasonFailed: "failed",
	ReasonUnproven: "unproven", ReasonTooFew: "too_few", ReasonDoubted: "doubted",
}

func (r Reason) String() string { return reasonNames[r] }

// Reasons are the words for all of them.
func Reasons() []string { return reasonNames[:] }

// asked says that the device was asked first.
func (r Reason) asked() bool { return r >= ReasonTimeout }

// sentence explains why an engine answered.
func (x *Index) sentence(s side, r Reason, v verdict) string {
	switch r {
	case ReasonSetting:
		return "the index is set to the gpu engine"
	case ReasonCheaper:
		return fmt.Sprintf("it takes %v, the other engine %v", round(v.predicted[s]), round(v.predicted[s.other()]))
	case ReasonRecheck:
		return fmt.Sprintf("to see whether it still takes %v, as the other engine takes %v", round(v.predicted[s]), round(v.predicted[s.other()]))
	case ReasonUnmeasured:
		return "it isn't known yet what such searches take here"
	case ReasonWaiting, ReasonUploading, ReasonTooLarge, ReasonDistrusted, ReasonResting:
		_, reason := x.standing()
		return reason
	case ReasonBehind:
		return fmt.Sprintf("more than %d changes aren't on the device yet", x.o.MaxOverlay)
	case ReasonFew:
		return "all that may be found is wanted"
	case ReasonQuery:
		return "the device can't answer such a query"
	case ReasonTimeout:
		return fmt.Sprintf("the device was asked and didn't answer within %v", x.o.Patience)
	case ReasonLost:
		return "the device was asked and its worker ended"
	case ReasonBusy:
		return "too many searches wait for the device"
	case ReasonFailed:
		return "the device was asked and reported an error"
	case ReasonUnproven:
		return "the device was asked, and its distances are too close to each other to rule out that it missed one"
	case ReasonTooFew:
		return "the device was asked and found fewer than there are"
	default:
		return "the device was asked, and says what isn't so of a vector"
	}
}

// round makes a duration short to read.
func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
