//! Tests that break things for real: processes are killed, connections cut, bugs planted. Each prints
//! its seed; `tests/chaos/run --seed N --rounds N` repeats it.
