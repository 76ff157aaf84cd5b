//! Transcripts of the command line: each `.md` file here is run, line by line, and is a page of the
//! book at the same time.
//!
//! `INSULA_BINARY` names the binary; without it the release binary of this tree is taken. The
//! commands run in a directory of their own with an empty store.

use std::path::{Path, PathBuf};

/// The binary under test.
fn binary() -> PathBuf {
    match std::env::var_os("INSULA_BINARY") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/insula"),
    }
}

#[test]
fn transcripts_are_true() {
    let binary = binary();
    assert!(
        binary.exists(),
        "{} is missing: run `make` first",
        binary.display()
    );
    let store = tempfile::tempdir().unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("insula", binary)
        .env("INSULA_STORE", store.path().to_string_lossy())
        .env("NO_COLOR", "1")
        .case("cli/*.md");
}
