//! Locking against a second handle, a stale file and a replaced one.
