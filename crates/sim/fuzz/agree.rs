//! Calls of a database, drawn from the fuzzer's bytes, against ordered maps.

#![no_main]

use coppice_sim::{Choices, agree};

/// Longer inputs find nothing that shorter ones do not.
const MAX_CALLS: u64 = 2000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(violation) = agree(Choices::of_bytes(bytes), MAX_CALLS) {
        panic!("{violation}");
    }
});
