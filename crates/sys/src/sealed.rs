//! A sealed copy of this program in memory, to run from where its file cannot be hidden.
//!
//! Where the kernel cannot change `/proc/self/exe` (no `CONFIG_CHECKPOINT_RESTORE`, see
//! [`crate::last_mile`]) a container could reach the host's binary through it (CVE-2019-5736). Then
//! the program runs from a copy that nobody can write to.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use crate::{Errno, Result, process};

/// Whether this program already runs from a sealed copy.
fn is_sealed() -> bool {
    let seals = File::open("/proc/self/exe")
        .ok()
        .and_then(|file| fcntl_get_seals(&file).ok());
    seals.is_some_and(|seals| seals.contains(SealFlags::WRITE))
}

/// Starts this program again, with the same arguments, from a sealed copy. Returns at once when it
/// runs from one.
///
/// # Errors
/// When the copy cannot be made; on success the call does not return.
pub fn restart_from_copy() -> Result<()> {
    if is_sealed() {
        return Ok(());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("insula", flags)?);
    let mut program = File::open("/proc/self/exe").map_err(errno)?;
    io::copy(&mut program, &mut copy).map_err(errno)?;
    fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    let arguments: Vec<CString> = std::env::args_os().map(c_string).collect();
    let pair = |(name, value): (OsString, OsString)| {
        c_string(OsString::from_vec(
            [name.as_bytes(), b"=", value.as_bytes()].concat(),
        ))
    };
    let environment: Vec<CString> = std::env::vars_os().map(pair).collect();
    let path = c_string(format!("/proc/self/fd/{}", copy.as_raw_fd()).into());
    Err(process::execve(&path, &arguments, &environment))
}

/// Arguments and environment come from the kernel, which ends each at its first zero byte.
fn c_string(text: OsString) -> CString {
    CString::new(text.into_vec()).unwrap_or_default()
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
