package suite_test

// Texts of the log that tests wait for or count. The settings of Redis that the start-up
// checks name are in startup_checks_test.go.
const (
	logRedisAway       = "cannot reach Redis at"
	logStartWaits      = "the start waits"
	logStarted         = "this instance has started"
	logWorksAgain      = "works again"
	logHeartbeatsAgain = "the heartbeat works again"
	logConfigRefused   = "refuses CONFIG"
	logOtherBuckets    = "use WithBuckets("

	logNobodyDelivers   = "no instance runs destroyed hooks"
	logSomebodyDelivers = "there is an instance again that runs destroyed hooks"
	logIdleHooks        = "this instance has WithoutDelivery"
	logHooklessWorker   = "but it has no destroyed hooks"

	logSeveralCookies = "several cookies of the session's name"
	logLongIdle       = "the idle timeout is longer than the absolute timeout"
	logLongMaxAge     = "MaxAge is longer than the absolute timeout"
	logInsecureNone   = "SameSite=None is sent with Secure"
	logRelativePath   = "Path must begin"
	logNoDomain       = "is not a domain"

	logHooksHang       = "too many hooks ignore their context"
	logCannotFinish    = "cannot write the outcome of destroyed hooks"
	logCannotHandle    = "cannot be handled"
	logDeadLimit       = "the dead set is over its limit"
	logDeadOverwritten = "has overwritten a dead set"
	logOverwritten     = "a key of the whole fleet"
	logImpossibleTime  = "impossible time"
)
