//! The rules of a profile, gathered per system call and independent of any architecture.
//!
//! What counts when several rules name one call, as libseccomp has it (and so every profile in
//! use expects):
//!
//! 1. A rule whose action is the default action is left out.
//! 2. The first rule without conditions decides; rules with conditions beside it do not matter.
//! 3. Else the most telling condition is asked first (see [`Rule::order`]), so that the order of
//!    the rules in the profile matters only between rules with the same conditions.
//!
//! Start at [`Rules::add`].

use std::cmp::{Ordering, Reverse};

use super::names::Finder;
use super::table::ROWS;
use crate::spec::{SeccompArg, SeccompOperator};

/// What a profile says about one table row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No rule names the call.
    Unnamed,
    /// Named, but only by rules that the default action makes superfluous.
    Named,
    /// `SECCOMP_RET_*` with its value.
    Always(u32),
    /// An index into [`Rules::chains`].
    Conditional(u16),
}

/// All conditions hold: the action is taken. Sorted by argument, at most one of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) operator: SeccompOperator,
    /// What the argument is compared with; for a masked comparison, after the mask.
    pub(super) value: u64,
    /// All ones except for a masked comparison.
    pub(super) mask: u64,
}

#[derive(Debug)]
pub(super) struct Rules {
    default: u32,
    finder: Finder,
    verdicts: [Verdict; ROWS],
    chains: Vec<Vec<Rule>>,
    unknown: Vec<String>,
}

impl Rules {
    pub(super) fn new(default: u32) -> Self {
        Self {
            default,
            finder: Finder::default(),
            verdicts: [Verdict::Unnamed; ROWS],
            chains: Vec::new(),
            unknown: Vec::new(),
        }
    }

    pub(super) fn default_action(&self) -> u32 {
        self.default
    }

    pub(super) fn verdicts(&self) -> &[Verdict; ROWS] {
        &self.verdicts
    }

    /// The rules of a [`Verdict::Conditional`], in the order in which they were added.
    pub(super) fn chain(&self, index: u16) -> &[Rule] {
        &self.chains[usize::from(index)]
    }

    /// The names that no architecture knows.
    pub(super) fn into_unknown(self) -> Vec<String> {
        self.unknown
    }

    /// Adds one entry of `linux.seccomp.syscalls`.
    pub(super) fn add<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        action: u32,
        arguments: &[SeccompArg],
    ) {
        let conditions: Vec<Condition> = arguments.iter().map(Condition::new).collect();
        // Two conditions on one argument have always meant "either of all conditions".
        let is_alternative = has_repeated_argument(&conditions);
        let is_always = if is_alternative {
            conditions.iter().any(Condition::always_holds)
        } else {
            conditions.iter().all(Condition::always_holds)
        };
        for name in names {
            let Some(row) = self.finder.find(name) else {
                self.unknown.push(name.to_owned());
                continue;
            };
            let verdict = &mut self.verdicts[row];
            if action == self.default {
                if *verdict == Verdict::Unnamed {
                    *verdict = Verdict::Named;
                }
                continue;
            }
            if matches!(verdict, Verdict::Always(_)) {
                continue;
            }
            if is_always {
                *verdict = Verdict::Always(action);
                continue;
            }
            let chain = self.chain_of(row);
            if is_alternative {
                chain.extend(conditions.iter().map(|condition| Rule {
                    conditions: vec![*condition],
                    action,
                }));
            } else {
                chain.push(Rule::new(conditions.clone(), action));
            }
        }
    }

    fn chain_of(&mut self, row: usize) -> &mut Vec<Rule> {
        let index = match self.verdicts[row] {
            Verdict::Conditional(index) => usize::from(index),
            Verdict::Unnamed | Verdict::Named | Verdict::Always(_) => {
                self.chains.push(Vec::new());
                self.chains.len() - 1
            }
        };
        // One chain per row at most, and there are less rows than `u16` has values.
        self.verdicts[row] = Verdict::Conditional(u16::try_from(index).unwrap_or(u16::MAX));
        &mut self.chains[index]
    }
}

impl Rule {
    pub(super) fn new(mut conditions: Vec<Condition>, action: u32) -> Self {
        conditions.retain(|condition| !condition.always_holds());
        conditions.sort_by_key(|condition| condition.argument);
        Self { conditions, action }
    }

    /// Which of two rules is asked first: the one on the later argument, then equality before
    /// upper limits before lower limits, then the narrower limit; fewer conditions before more.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let keys = |rule: &Self| {
            rule.conditions
                .iter()
                .map(Condition::order)
                .collect::<Vec<_>>()
        };
        keys(self).cmp(&keys(other))
    }
}

impl Condition {
    fn new(argument: &SeccompArg) -> Self {
        let (value, mask) = match argument.op {
            SeccompOperator::MaskedEqual => (argument.value_two & argument.value, argument.value),
            SeccompOperator::NotEqual
            | SeccompOperator::Less
            | SeccompOperator::LessOrEqual
            | SeccompOperator::Equal
            | SeccompOperator::GreaterOrEqual
            | SeccompOperator::Greater => (argument.value, u64::MAX),
        };
        Self {
            // `check` has refused an index above 5.
            argument: u8::try_from(argument.index).unwrap_or(5),
            operator: argument.op,
            value,
            mask,
        }
    }

    /// The condition on the low half, all that a 32-bit architecture compares.
    pub(super) fn low_half(mut self) -> Self {
        self.value &= u64::from(u32::MAX);
        self.mask &= u64::from(u32::MAX);
        self
    }

    /// A comparison under an empty mask says nothing.
    pub(super) fn always_holds(&self) -> bool {
        self.mask == 0
    }

    fn order(&self) -> (Reverse<u8>, u8, Reverse<u64>) {
        let (class, rank) = match self.operator {
            SeccompOperator::Equal | SeccompOperator::NotEqual | SeccompOperator::MaskedEqual => {
                (0, self.value)
            }
            SeccompOperator::Less | SeccompOperator::LessOrEqual => (1, u64::MAX - self.value),
            SeccompOperator::GreaterOrEqual | SeccompOperator::Greater => (2, self.value),
        };
        (Reverse(self.argument), class, Reverse(rank))
    }
}

fn has_repeated_argument(conditions: &[Condition]) -> bool {
    let mut seen = 0_u8;
    conditions.iter().any(|condition| {
        let bit = 1 << condition.argument;
        let is_repeated = seen & bit != 0;
        seen |= bit;
        is_repeated
    })
}
