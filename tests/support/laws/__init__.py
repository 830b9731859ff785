"""Laws of any implementation: functions that take one and assert.

The same functions judge the specification and the compiled core (`properties/`)
and must fail for implementations broken on purpose (`mutation/`).
"""
