//! seccomp: a profile of `config.json` becomes a program that the kernel runs at each system call.
//!
//! [`compile`] checks the profile, gathers its rules by call ([`rules`]), and writes a search tree
//! over call numbers for each architecture ([`program`], [`arguments`], [`emit`]). Numbers come
//! from a generated table ([`table`], `README.md`). [`insula_sys::seccomp::load`] loads the result;
//! [`notify`] hands the listener over; [`default_filter`] is what `insula run` uses.

mod action;
mod architecture;
mod arguments;
mod default_profile;
mod emit;
pub mod features;
mod names;
pub mod notify;
mod program;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use insula_sys::seccomp as kernel;
pub use insula_sys::seccomp::Instruction;

use self::action::{full_action, lets_pass};
pub use self::default_profile::{default_filter, default_profile};
use self::program::assemble;
use self::rules::Rules;
use crate::error::{Error, Result};
use crate::spec::{Seccomp, SeccompAction, SeccompArchitecture, SeccompFlag};

/// The kernel's `BPF_MAXINSNS`.
const LARGEST_PROGRAM: usize = 4096;
const ARGUMENTS: u32 = 6;

/// A program for seccomp(2).
#[derive(Debug, Clone)]
pub struct Filter {
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`, see [`insula_sys::seccomp`].
    pub flags: u32,
    /// Loading the program gives a listener, to be sent with [`notify::send_listener`].
    pub has_notify: bool,
    /// Names that no architecture knows; their rules were left out. Worth a warning.
    pub unknown_names: Vec<String>,
}

/// Compiles a profile for the native architecture and those that it lists.
///
/// # Errors
/// The profile contradicts the specification, asks for what cannot work (`SCMP_ACT_NOTIFY` on
/// `write`), or needs a program longer than the kernel takes.
pub fn compile(config: &Seccomp) -> Result<Filter> {
    check_notify(config)?;
    let default = full_action(config.default_action, config.default_errno_ret, || {
        "linux.seccomp.defaultErrnoRet".to_owned()
    })?;
    let mut rules = Rules::new(default);
    for (index, rule) in config.syscalls.iter().enumerate() {
        let action = full_action(rule.action, rule.errno_ret, || {
            format!("linux.seccomp.syscalls[{index}].errnoRet")
        })?;
        if let Some(place) = rule
            .args
            .iter()
            .position(|argument| argument.index >= ARGUMENTS)
        {
            let argument = rule.args[place].index;
            return Err(Error::new(format!(
                "linux.seccomp.syscalls[{index}].args[{place}].index is {argument}, the last \
                 argument is 5"
            )));
        }
        rules.add(rule.names.iter().map(String::as_str), action, &rule.args);
    }
    let has_notify = uses_notify(config);
    let mut filter = finish(rules, config.default_action, &config.architectures)?;
    filter.flags = flags(config.flags.as_deref(), has_notify);
    filter.has_notify = has_notify;
    crate::debug(|| format!("seccomp filter flags: {}", filter.flags));
    Ok(filter)
}

/// Writes the program. The flags are left at zero.
fn finish(
    rules: Rules,
    default: SeccompAction,
    architectures: &[SeccompArchitecture],
) -> Result<Filter> {
    let instructions = assemble(&rules, architectures, !lets_pass(default));
    if instructions.len() > LARGEST_PROGRAM {
        return Err(Error::new(format!(
            "linux.seccomp needs a program of {} instructions, the kernel takes {LARGEST_PROGRAM}",
            instructions.len()
        ))
        .hint("list fewer architectures or fewer rules with args"));
    }
    Ok(Filter {
        instructions,
        flags: 0,
        has_notify: false,
        unknown_names: rules.into_unknown(),
    })
}

fn uses_notify(config: &Seccomp) -> bool {
    let mut rules = config.syscalls.iter();
    rules.any(|rule| rule.action == SeccompAction::Notify)
}

fn check_notify(config: &Seccomp) -> Result<()> {
    if config.listener_metadata.is_some() && config.listener_path.is_none() {
        return Err(Error::new(
            "linux.seccomp.listenerMetadata is set without linux.seccomp.listenerPath",
        ));
    }
    if config.default_action == SeccompAction::Notify {
        return Err(
            Error::new("linux.seccomp.defaultAction cannot be SCMP_ACT_NOTIFY")
                .hint("the container could not even be started: name the calls to notify of"),
        );
    }
    for (index, rule) in config.syscalls.iter().enumerate() {
        if rule.action != SeccompAction::Notify {
            continue;
        }
        if config.listener_path.is_none() {
            return Err(Error::new(format!(
                "linux.seccomp.syscalls[{index}].action is SCMP_ACT_NOTIFY, but \
                 linux.seccomp.listenerPath is not set"
            )));
        }
        // The starting process itself must write to its parent after the filter is loaded.
        if rule.names.iter().any(|name| name == "write") {
            return Err(Error::new(format!(
                "linux.seccomp.syscalls[{index}]: SCMP_ACT_NOTIFY cannot be used for the write \
                 syscall: it would stop the container before its listener is handed over"
            )));
        }
    }
    Ok(())
}

/// Without a list of flags, speculative store bypass stays as it is (`SPEC_ALLOW`), like in other
/// runtimes: the mitigation costs much and processes can ask for it themselves.
fn flags(asked: Option<&[SeccompFlag]>, has_notify: bool) -> u32 {
    let mut flags = match asked {
        None => kernel::FLAG_SPEC_ALLOW,
        Some(asked) => asked
            .iter()
            .fold(0, |flags, flag| flags | kernel_flag(*flag)),
    };
    if has_notify {
        // The kernel refuses both together; the starting process has one thread anyway.
        flags = flags & !kernel::FLAG_TSYNC | kernel::FLAG_NEW_LISTENER;
    } else {
        // The kernel refuses it without a listener, where it has no meaning.
        flags &= !kernel::FLAG_WAIT_KILLABLE_RECV;
    }
    flags
}

fn kernel_flag(flag: SeccompFlag) -> u32 {
    match flag {
        SeccompFlag::Tsync => kernel::FLAG_TSYNC,
        SeccompFlag::Log => kernel::FLAG_LOG,
        SeccompFlag::SpecAllow => kernel::FLAG_SPEC_ALLOW,
        SeccompFlag::WaitKillableRecv => kernel::FLAG_WAIT_KILLABLE_RECV,
    }
}
