package device

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
	// ReasonFew: no more may be found than the device would be asked for.
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

// sentences explain reasons that are no state of the index.
var sentences = [numReasons]string{
	ReasonSetting:    "the index is set to the gpu engine",
	ReasonCheaper:    "this engine is the cheaper one for such searches",
	ReasonRecheck:    "to see whether this engine is still the dearer one for such searches",
	ReasonUnmeasured: "it isn't known yet what such searches take here",
	ReasonBehind:     "more changes than a search looks at itself aren't on the device yet",
	ReasonFew:        "so few may be found that they are measured one by one",
	ReasonQuery:      "the device can't answer such a query",
	ReasonTimeout:    "the device was asked and didn't answer in time",
	ReasonLost:       "the device was asked and its worker ended",
	ReasonBusy:       "too many searches wait for the device",
	ReasonFailed:     "the device was asked and reported an error",
	ReasonUnproven:   "the device was asked, and its distances are too close to each other to rule out that it missed one",
	ReasonTooFew:     "the device was asked and found fewer than there are",
	ReasonDoubted:    "the device was asked, and says what isn't so of a vector",
}

// sentence explains why an engine answered.
func (x *Index) sentence(r Reason) string {
	if text := sentences[r]; text != "" {
		return text
	}
	_, reason := x.standing()
	return reason
}
