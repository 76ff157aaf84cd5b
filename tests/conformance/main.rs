//! The OCI runtime specification 1.3, point by point, against the command line.
//!
//! Each file is a chapter of the specification and each test says the sentence it holds the
//! runtime to. The containers are busybox and look at themselves. Start at [`bundle`].
//! `INSULA_OCI_RUNTIME=runc` runs the tests with another runtime, to test the tests.

#![expect(
    clippy::unwrap_used,
    reason = "the tools of tests: a panic is how a test fails"
)]

mod bundle;
mod config;
mod hooks;
mod linux;
mod linux_cgroups;
mod linux_namespaces;
mod linux_seccomp;
mod malformed;
mod mounts;
mod process;
mod runtime;
mod terminal;
