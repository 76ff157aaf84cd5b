//! From rules to a program: one search tree per number space, behind a look at the architecture.
//!
//! Start at [`assemble`].

use insula_sys::seccomp::Instruction;

use super::action::{ENOSYS, KILL_THREAD};
use super::architecture::{Architecture, IPC, IPC_CALLS, SOCKET_CALLS, SOCKETCALL, Width, X32_BIT};
use super::arguments::{emit_chain, extend};
use super::emit::{ARCHITECTURE_OFFSET, Emitter, NUMBER_OFFSET, Range, Target, Test};
use super::rules::{Condition, Rule, Rules, Verdict};
use crate::spec::{SeccompArchitecture as Name, SeccompOperator};

/// No column of the tables has a slot from here on.
const SLOTS: usize = 0x400;

/// Compiles `rules` for the native architecture and `names`. With `has_tail`, calls behind the
/// last one that any rule names fail with `ENOSYS`, so that programs fall back to older calls
/// instead of giving up.
pub(super) fn assemble(rules: &Rules, names: &[Name], has_tail: bool) -> Vec<Instruction> {
    let mut assembly = Assembly {
        rules,
        has_tail,
        code: Emitter::with_capacity(512),
        chains: Vec::new(),
    };
    let architectures = distinct(names);
    let mut roots: Vec<(u32, Target)> = Vec::with_capacity(architectures.len());
    for architecture in architectures.iter().rev() {
        // x32 shares the tree of x86-64.
        if roots.iter().all(|(audit, _)| *audit != architecture.audit) {
            let root = assembly.tree(architecture.audit, &architectures);
            roots.push((architecture.audit, root));
        }
    }
    // What libseccomp does to a call of an architecture that the profile does not list.
    let mut next = Target::Return(KILL_THREAD);
    let code = &mut assembly.code;
    for (audit, root) in roots {
        next = code.branch(Test::Equal, audit, root, next);
    }
    let start = code.load(ARCHITECTURE_OFFSET, next);
    code.start_at(start);
    assembly.code.finish()
}

/// The native architecture first, then the others in the order of the profile.
fn distinct(names: &[Name]) -> Vec<Architecture> {
    let mut kept = vec![Architecture::NATIVE];
    for name in names {
        if !kept.contains(name) {
            kept.push(*name);
        }
    }
    kept.into_iter().map(Architecture::of).collect()
}

struct Assembly<'a> {
    rules: &'a Rules,
    has_tail: bool,
    code: Emitter,
    /// Where the code of a chain begins, for each width of arguments it was written for.
    chains: Vec<(u16, Width, Target)>,
}

impl Assembly<'_> {
    fn default(&self) -> Target {
        Target::Return(self.rules.default_action())
    }

    /// The decision for all calls that the kernel reports under `audit`.
    fn tree(&mut self, audit: u32, architectures: &[Architecture]) -> Target {
        let mut ranges = Vec::with_capacity(256);
        extend(&mut ranges, 0, self.default());
        let x86_64 = Architecture::of(Name::X86_64);
        let mut spaces: Vec<&Architecture> = architectures
            .iter()
            .filter(|architecture| architecture.audit == audit)
            .collect();
        spaces.sort_by_key(|architecture| architecture.number(0));
        if audit == x86_64.audit {
            let has_x32 = spaces.last().is_some_and(|last| last.number(0) == X32_BIT);
            let has_x86_64 = spaces.first().is_some_and(|first| first.number(0) == 0);
            if has_x86_64 {
                self.space(spaces[0], &mut ranges);
            } else {
                extend(&mut ranges, 0, Target::Return(KILL_THREAD));
            }
            if has_x32 {
                self.space(spaces[spaces.len() - 1], &mut ranges);
            } else {
                extend(&mut ranges, X32_BIT, Target::Return(KILL_THREAD));
                // A tracer skips a call by giving it the number -1.
                extend(&mut ranges, u32::MAX, self.default());
            }
        } else {
            for architecture in spaces {
                self.space(architecture, &mut ranges);
            }
        }
        let root = self.code.choose(&ranges);
        match root {
            Target::Return(_) => root,
            Target::Code(_) => self.code.load(NUMBER_OFFSET, root),
        }
    }

    /// Appends the ranges of one architecture's numbers.
    fn space(&mut self, architecture: &Architecture, ranges: &mut Vec<Range>) {
        let default = self.default();
        let mut targets = [default; SLOTS];
        let mut named = None;
        for (row, verdict) in self.rules.verdicts().iter().enumerate() {
            if *verdict == Verdict::Unnamed {
                continue;
            }
            let Some(slot) = architecture.slot(row) else {
                continue;
            };
            named = named.max(Some(slot));
            targets[usize::from(slot)] = match *verdict {
                Verdict::Unnamed | Verdict::Named => default,
                Verdict::Always(action) => Target::Return(action),
                Verdict::Conditional(chain) => self.chain(chain, architecture.width),
            };
        }
        let mut tail = default;
        if let Some(named) = named
            && self.has_tail
        {
            tail = Target::Return(ENOSYS);
            targets[usize::from(named) + 1..].fill(tail);
            if architecture.unknown_becomes_zero {
                targets[0] = tail;
            }
        }
        let mut last = named.unwrap_or(0);
        if architecture.is_multiplexed {
            for (row, calls) in [(SOCKETCALL, &SOCKET_CALLS[..]), (IPC, &IPC_CALLS[..])] {
                if let Some(slot) = architecture.slot(row)
                    && !matches!(self.rules.verdicts()[row], Verdict::Always(_))
                {
                    let target = self.multiplexed(row, calls, architecture.width);
                    if target != default {
                        targets[usize::from(slot)] = target;
                        last = last.max(slot);
                    }
                }
            }
        }
        for slot in 0..=last {
            extend(
                ranges,
                architecture.number(slot),
                targets[usize::from(slot)],
            );
        }
        extend(ranges, architecture.number(last) + 1, tail);
    }

    /// The code of a call with conditions, written once for each width of arguments.
    fn chain(&mut self, chain: u16, width: Width) -> Target {
        let known = self
            .chains
            .iter()
            .find(|(index, of, _)| *index == chain && *of == width);
        if let Some((_, _, target)) = known {
            return *target;
        }
        let rules = self.rules.chain(chain).iter().cloned();
        let default = self.default();
        let target = emit_chain(&mut self.code, width, rules, default);
        self.chains.push((chain, width, target));
        target
    }

    /// The code of `socketcall` or `ipc`: what is said of the calls behind it, chosen by its first
    /// argument. Their own first argument lies in memory, where no filter can look.
    fn multiplexed(&mut self, row: usize, calls: &[(usize, u32)], width: Width) -> Target {
        let verdicts = self.rules.verdicts();
        let mut rules = Vec::with_capacity(calls.len());
        if let Verdict::Conditional(chain) = verdicts[row] {
            rules.extend_from_slice(self.rules.chain(chain));
        }
        for (call_row, call) in calls {
            let selector = Condition {
                argument: 0,
                operator: SeccompOperator::Equal,
                value: u64::from(*call),
                mask: u64::MAX,
            };
            match verdicts[*call_row] {
                Verdict::Unnamed | Verdict::Named => {}
                Verdict::Always(action) => rules.push(Rule::new(vec![selector], action)),
                Verdict::Conditional(chain) => {
                    for rule in self.rules.chain(chain) {
                        let mut conditions = rule.conditions.clone();
                        conditions.retain(|condition| condition.argument != 0);
                        conditions.push(selector);
                        rules.push(Rule::new(conditions, rule.action));
                    }
                }
            }
        }
        let default = self.default();
        emit_chain(&mut self.code, width, rules.into_iter(), default)
    }
}
