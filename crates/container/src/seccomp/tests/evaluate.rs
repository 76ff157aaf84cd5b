//! What a profile means, read rule by rule: the reference for the compiler.

use super::super::architecture::{Architecture, IPC_CALLS, SOCKET_CALLS, X32_BIT};
use super::super::names::{Finder, name_of};
use super::super::table::ROWS;
use super::interpreter::Call;
use crate::spec::{
    Seccomp, SeccompAction, SeccompArchitecture as Name, SeccompArg, SeccompOperator, SeccompRule,
};

const KILL_THREAD: u32 = 0;
const ENOSYS: u32 = 0x0005_0026;

/// Rules with all their conditions on one call, ready to be asked in turn.
type Alternative = (Vec<SeccompArg>, u32);

pub(super) fn evaluate(profile: &Seccomp, call: &Call) -> u32 {
    let default = action(profile.default_action, profile.default_errno_ret);
    let Some(name) = architecture_of(profile, call) else {
        return KILL_THREAD;
    };
    let architecture = Architecture::of(name);
    if name == Name::X86_64 && call.number >= X32_BIT {
        return if call.number == u32::MAX {
            default
        } else {
            KILL_THREAD
        };
    }
    let has_tail = !matches!(
        profile.default_action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    );
    let row = (0..ROWS).find(|row| {
        architecture
            .slot(*row)
            .is_some_and(|slot| architecture.number(slot) == call.number)
    });
    let alternatives = alternatives(profile, &architecture, row, default);
    let largest = largest_named(profile, &architecture);
    if has_tail && architecture.unknown_becomes_zero && largest.is_some() && call.number == 0 {
        return ENOSYS;
    }
    if has_tail && alternatives.is_empty() && largest.is_some_and(|largest| call.number > largest) {
        return ENOSYS;
    }
    decide(alternatives, call, architecture.width.is_64_bit).unwrap_or(default)
}

/// Which architecture the kernel means, if the profile has it.
fn architecture_of(profile: &Seccomp, call: &Call) -> Option<Name> {
    let mut names = profile.architectures.clone();
    names.push(Architecture::NATIVE);
    let is_x32 = |name: &Name| *name == Name::X32;
    if call.audit == Architecture::of(Name::X32).audit
        && call.number >= X32_BIT
        && names.iter().any(is_x32)
    {
        return Some(Name::X32);
    }
    names
        .into_iter()
        .filter(|name| !is_x32(name))
        .find(|name| Architecture::of(*name).audit == call.audit)
}

fn largest_named(profile: &Seccomp, architecture: &Architecture) -> Option<u32> {
    let names = profile.syscalls.iter().flat_map(|rule| &rule.names);
    let rows = names.filter_map(|name| Finder::default().find(name));
    rows.filter_map(|row| architecture.slot(row))
        .map(|slot| architecture.number(slot))
        .max()
}

fn alternatives(
    profile: &Seccomp,
    architecture: &Architecture,
    row: Option<usize>,
    default: u32,
) -> Vec<Alternative> {
    let Some(row) = row else { return Vec::new() };
    let mut found = Vec::new();
    gather(profile, name_of(row), default, &mut |conditions, action| {
        found.push((conditions, action));
    });
    let calls = match name_of(row) {
        "socketcall" => &SOCKET_CALLS[..],
        "ipc" => &IPC_CALLS[..],
        _ => &[],
    };
    if architecture.is_multiplexed {
        for (behind, number) in calls {
            let mut of_call: Vec<Alternative> = Vec::new();
            gather(
                profile,
                name_of(*behind),
                default,
                &mut |conditions, action| {
                    of_call.push((conditions, action));
                },
            );
            if let Some(always) = of_call.iter().find(|(conditions, _)| conditions.is_empty()) {
                of_call = vec![always.clone()];
            }
            for (mut conditions, action) in of_call {
                conditions.retain(|condition| condition.index != 0);
                conditions.push(SeccompArg {
                    index: 0,
                    value: u64::from(*number),
                    value_two: 0,
                    op: SeccompOperator::Equal,
                });
                found.push((conditions, action));
            }
        }
    }
    found
}

fn gather(profile: &Seccomp, name: &str, default: u32, add: &mut dyn FnMut(Vec<SeccompArg>, u32)) {
    let vacuous = |condition: &SeccompArg| {
        condition.op == SeccompOperator::MaskedEqual && condition.value == 0
    };
    for rule in &profile.syscalls {
        let action = action(rule.action, rule.errno_ret);
        if action == default || !rule.names.iter().any(|known| known == name) {
            continue;
        }
        if repeats_an_argument(rule) {
            for condition in &rule.args {
                add(
                    if vacuous(condition) {
                        Vec::new()
                    } else {
                        vec![*condition]
                    },
                    action,
                );
            }
        } else {
            let mut conditions = rule.args.clone();
            conditions.retain(|condition| !vacuous(condition));
            add(conditions, action);
        }
    }
}

fn repeats_an_argument(rule: &SeccompRule) -> bool {
    (0..6).any(|index| {
        rule.args
            .iter()
            .filter(|argument| argument.index == index)
            .count()
            > 1
    })
}

fn decide(alternatives: Vec<Alternative>, call: &Call, is_64_bit: bool) -> Option<u32> {
    let cut = |value: u64| {
        if is_64_bit {
            value
        } else {
            value & 0xffff_ffff
        }
    };
    let always = |alternatives: &[Alternative]| {
        let mut found = alternatives
            .iter()
            .filter(|(conditions, _)| conditions.is_empty());
        found.next().map(|(_, action)| *action)
    };
    // Conditions that say nothing only in 32 bits count less than having none.
    if let Some(action) = always(&alternatives) {
        return Some(action);
    }
    let mut alternatives = alternatives;
    for (conditions, _) in &mut alternatives {
        conditions.sort_by_key(|condition| condition.index);
        for condition in conditions.iter_mut() {
            condition.value = cut(condition.value);
            condition.value_two = cut(condition.value_two);
        }
        conditions.retain(|condition| {
            condition.op != SeccompOperator::MaskedEqual || condition.value != 0
        });
    }
    if let Some(action) = always(&alternatives) {
        return Some(action);
    }
    alternatives.sort_by_key(|(conditions, _)| conditions.iter().map(weight).collect::<Vec<_>>());
    let holds = |condition: &SeccompArg| {
        let argument = cut(call.arguments[usize::try_from(condition.index).unwrap()]);
        match condition.op {
            SeccompOperator::NotEqual => argument != condition.value,
            SeccompOperator::Less => argument < condition.value,
            SeccompOperator::LessOrEqual => argument <= condition.value,
            SeccompOperator::Equal => argument == condition.value,
            SeccompOperator::GreaterOrEqual => argument >= condition.value,
            SeccompOperator::Greater => argument > condition.value,
            SeccompOperator::MaskedEqual => {
                argument & condition.value == condition.value_two & condition.value
            }
        }
    };
    let matching = alternatives
        .iter()
        .find(|(conditions, _)| conditions.iter().all(holds));
    matching.map(|(_, action)| *action)
}

/// Smaller is asked first: later arguments, equality, then upper limits from the lowest, then
/// lower limits from the highest.
fn weight(condition: &SeccompArg) -> (u32, u8, u64) {
    let argument = 5 - condition.index;
    match condition.op {
        SeccompOperator::Equal | SeccompOperator::NotEqual => (argument, 0, !condition.value),
        SeccompOperator::MaskedEqual => (argument, 0, !(condition.value_two & condition.value)),
        SeccompOperator::Less | SeccompOperator::LessOrEqual => (argument, 1, condition.value),
        SeccompOperator::Greater | SeccompOperator::GreaterOrEqual => {
            (argument, 2, !condition.value)
        }
    }
}

pub(super) fn action(action: SeccompAction, errno: Option<u32>) -> u32 {
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => 0x8000_0000,
        SeccompAction::Trap => 0x0003_0000,
        SeccompAction::Errno => 0x0005_0000 + errno.unwrap_or(1),
        SeccompAction::Trace => 0x7ff0_0000 + errno.unwrap_or(1),
        SeccompAction::Allow => 0x7fff_0000,
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Notify => 0x7fc0_0000,
    }
}
