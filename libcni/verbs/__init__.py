"""The verbs: ADD, CHECK, DEL, STATUS, VERSION and GC, recovery and giving up, written once over a runner.

Each verb is an ordinary coroutine that waits for nothing but its runner. An operation on a container holds that
container's lock, and an ADD or DEL is in the journal before its first plugin gets a request. Go counterpart:
``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Execution of Network Configurations".
"""
