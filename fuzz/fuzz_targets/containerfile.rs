//! `insula_fuzz::containerfile` for libFuzzer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| insula_fuzz::containerfile(bytes));
