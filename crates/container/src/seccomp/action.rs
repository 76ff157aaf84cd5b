//! What a filter may answer: the actions of a profile as `SECCOMP_RET_*` values.

use crate::error::{Error, Result};
use crate::spec::SeccompAction;

pub(super) const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
/// "No such call", from the kernel's own errno.h.
pub(super) const ENOSYS: u32 = ERRNO | 38;
/// The kernel turns a larger error number into this one (`MAX_ERRNO`).
const LARGEST_ERRNO: u32 = 4095;

/// `SECCOMP_RET_*` without a value, for asking the kernel.
pub(super) fn bare_action(action: SeccompAction) -> u32 {
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => TRAP,
        SeccompAction::Errno => ERRNO,
        SeccompAction::Trace => TRACE,
        SeccompAction::Allow => ALLOW,
        SeccompAction::Log => LOG,
        SeccompAction::Notify => NOTIFY,
    }
}

/// `SECCOMP_RET_*` with its value. `field` names the property that `errno` comes from.
///
/// # Errors
/// The action takes no value, or the value is too large for it.
pub(super) fn full_action(
    action: SeccompAction,
    errno: Option<u32>,
    field: impl Fn() -> String,
) -> Result<u32> {
    let bare = bare_action(action);
    let largest = match action {
        SeccompAction::Errno => LARGEST_ERRNO,
        SeccompAction::Trace => u32::from(u16::MAX),
        _ if errno.is_none() => return Ok(bare),
        _ => {
            let hint = "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a value";
            return Err(
                Error::new(format!("{} is set for an action without one", field())).hint(hint),
            );
        }
    };
    let value = errno.unwrap_or(EPERM);
    if value > largest {
        return Err(Error::new(format!(
            "{} is {value}, the largest is {largest}",
            field()
        )));
    }
    Ok(bare | value)
}

/// Whether a call that no rule names may go on. Then a call newer than the profile may too, and
/// the filter has no `ENOSYS` tail; a tracer is trusted to answer for new calls itself.
pub(super) fn lets_pass(action: SeccompAction) -> bool {
    matches!(
        action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    )
}
