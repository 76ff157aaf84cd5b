//! Any bytes as `config.json`: an error that names something, or a configuration that survives
//! being written and read again, and whose seccomp part compiles or is refused.

#![no_main]

use insula_container::{seccomp, spec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = spec::parse(bytes) else {
        return;
    };
    if let Some(profile) = parsed.linux.as_ref().and_then(|linux| linux.seccomp.as_ref())
        && let Ok(filter) = seccomp::compile(profile)
    {
        // The kernel's BPF_MAXINSNS.
        assert!(filter.instructions.len() <= 4096, "a filter the kernel refuses");
    }
    let written = serde_json::to_vec(&parsed).expect("a configuration can be written");
    if let Err(error) = spec::parse(&written) {
        panic!("what was written is refused: {error}");
    }
});
