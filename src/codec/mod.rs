//! Numbers to bits and back: pure functions.
