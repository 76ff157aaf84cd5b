//! Safe wrappers of Linux system calls: the only crate where `unsafe` meets the kernel.
//!
//! Knows no product concept. Where rustix has a safe wrapper it is re-exported and used as it is;
//! what rustix lacks stands here, one file per kernel interface.

#![expect(
    unsafe_code,
    reason = "this crate is the fence around raw system calls"
)]

pub mod bpf;
mod call;
pub mod descriptor;
pub mod entry;
pub mod erofs;
pub mod fuse;
pub mod interface;
pub mod last_mile;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod overlay;
pub mod pidfd;
pub mod process;
pub mod regex;
pub mod scheduling;
pub mod sealed;
pub mod trace;
pub mod usage;
pub mod user_namespace;

pub use rustix;
pub use rustix::io::{Errno, Result};

pub mod seccomp;
