//! seccomp(2): load a classic BPF program as the filter of the calling thread, ask what the kernel
//! knows.
//!
//! Start at [`load`]. Nothing here allocates, so all of it may run in a child between clone and
//! execve.

use std::os::fd::{FromRawFd as _, OwnedFd};

use crate::{Errno, Result};

/// One classic BPF instruction, `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Instruction {
    pub code: u16,
    /// Instructions to skip when the comparison holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    pub constant: u32,
}

impl Instruction {
    /// As the kernel reads it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [a, b] = self.code.to_ne_bytes();
        let [c, d, e, f] = self.constant.to_ne_bytes();
        [a, b, self.jump_true, self.jump_false, c, d, e, f]
    }
}

pub const FLAG_TSYNC: u32 = 1;
pub const FLAG_LOG: u32 = 1 << 1;
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// Since Linux 5.19; the kernel takes it only together with [`FLAG_NEW_LISTENER`].
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

const SET_MODE_FILTER: libc::c_uint = 1;
const GET_ACTION_AVAIL: libc::c_uint = 2;

/// Makes `program` the newest filter of the calling thread. With [`FLAG_NEW_LISTENER`] the result
/// is the notification descriptor (close-on-exec).
///
/// # Errors
/// `EACCES` without `no_new_privs` and `CAP_SYS_ADMIN`, `EINVAL` for a program or a flag that the
/// kernel does not take, `EBUSY` when a second listener is asked for.
pub fn load(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>> {
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_too_long| Errno::INVAL)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `Instruction` has the layout of `sock_filter` (asserted below), `header.len` of them
    // lie at `header.filter`, and the kernel only reads them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const header) };
    if result < 0 {
        return Err(last_error());
    }
    if flags & FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let descriptor = i32::try_from(result).map_err(|_too_large| Errno::BADF)?;
    // SAFETY: with `FLAG_NEW_LISTENER` the call returned a new descriptor that nothing else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// Whether the kernel knows a filter's return action (`SECCOMP_RET_*`, without its value).
#[must_use]
pub fn is_action_available(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes at `action`, which lives through the call.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Whether the kernel takes these `FLAG_*` together. Loads nothing: the kernel checks the flags
/// (`EINVAL`) before it reads the program, which is a null pointer here (`EFAULT`).
#[must_use]
pub fn is_flag_available(flags: u32) -> bool {
    let no_program = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: a null program is refused by the kernel with `EFAULT`; nothing is read or written.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, no_program) };
    result < 0 && last_error() == Errno::FAULT
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

const _: () = {
    assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
    assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_what_every_supported_kernel_knows() {
        assert!(is_action_available(0x7fff_0000));
        assert!(!is_action_available(0x1234_0000));
        assert!(is_flag_available(FLAG_LOG | FLAG_SPEC_ALLOW));
        assert!(!is_flag_available(1 << 31));
    }

    #[test]
    fn a_program_without_instructions_is_refused() {
        assert_eq!(load(&[], 0).unwrap_err(), Errno::INVAL);
    }
}
