//! Code for rules with conditions on arguments.
//!
//! An argument has 64 bits, the accumulator 32: a comparison looks at the high half and, where
//! that does not decide, at the low half. Neighbouring rules that compare one argument for
//! equality become one search.
//!
//! Start at [`emit_chain`].

use super::architecture::Width;
use super::emit::{ARGUMENTS_OFFSET, Emitter, Range, Target, Test};
use super::rules::{Condition, Rule};
use crate::spec::SeccompOperator;

/// Writes the rules of one call for one width of arguments. Where none matches, `default` holds.
pub(super) fn emit_chain(
    code: &mut Emitter,
    width: Width,
    rules: impl Iterator<Item = Rule>,
    default: Target,
) -> Target {
    let mut rules: Vec<Rule> = rules.map(|rule| narrowed(rule, width)).collect();
    if let Some(always) = rules.iter().find(|rule| rule.conditions.is_empty()) {
        return Target::Return(always.action);
    }
    rules.sort_by(Rule::order);
    let mut next = default;
    let mut end = rules.len();
    while end > 0 {
        let start = group_start(&rules[..end]);
        next = match &rules[start..end] {
            [rule] => emit_rule(code, width, rule, next),
            alternatives => emit_alternatives(code, width, alternatives, next),
        };
        end = start;
    }
    next
}

fn narrowed(rule: Rule, width: Width) -> Rule {
    if width.is_64_bit {
        return rule;
    }
    let conditions = rule.conditions.into_iter().map(Condition::low_half);
    Rule::new(conditions.collect(), rule.action)
}

/// Where the run of rules begins that compare one argument with values of equal high halves, and
/// that ends with the last rule.
fn group_start(rules: &[Rule]) -> usize {
    let mut start = rules.len() - 1;
    if let Some(last) = sole_equality(&rules[start]) {
        while start > 0
            && sole_equality(&rules[start - 1]).is_some_and(|previous| {
                previous.argument == last.argument && high(previous.value) == high(last.value)
            })
        {
            start -= 1;
        }
    }
    start
}

fn sole_equality(rule: &Rule) -> Option<&Condition> {
    match rule.conditions.as_slice() {
        [condition] if condition.operator == SeccompOperator::Equal => Some(condition),
        _ => None,
    }
}

fn emit_rule(code: &mut Emitter, width: Width, rule: &Rule, otherwise: Target) -> Target {
    let mut next = Target::Return(rule.action);
    for condition in rule.conditions.iter().rev() {
        next = emit_condition(code, width, condition, next, otherwise);
    }
    next
}

/// One search over the low halves of what all these rules compare with.
fn emit_alternatives(
    code: &mut Emitter,
    width: Width,
    rules: &[Rule],
    otherwise: Target,
) -> Target {
    let mut points: Vec<(u32, u32)> = Vec::with_capacity(rules.len());
    for rule in rules {
        let value = low(rule.conditions[0].value);
        if !points.iter().any(|(known, _)| *known == value) {
            points.push((value, rule.action));
        }
    }
    points.sort_unstable();
    let mut ranges = vec![Range {
        start: 0,
        target: otherwise,
    }];
    for (value, action) in points {
        extend(&mut ranges, value, Target::Return(action));
        if let Some(after) = value.checked_add(1) {
            extend(&mut ranges, after, otherwise);
        }
    }
    let condition = &rules[0].conditions[0];
    let search = code.choose(&ranges);
    let search = code.load(low_offset(condition.argument, width), search);
    emit_high_equality(code, width, condition, search, otherwise)
}

/// From `start` on, `target` holds. `start` must not be below the start of the last range.
pub(super) fn extend(ranges: &mut Vec<Range>, start: u32, target: Target) {
    if ranges.last().is_some_and(|last| last.start == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|last| last.target != target) {
        ranges.push(Range { start, target });
    }
}

fn emit_condition(
    code: &mut Emitter,
    width: Width,
    condition: &Condition,
    yes: Target,
    no: Target,
) -> Target {
    match condition.operator {
        SeccompOperator::Equal | SeccompOperator::MaskedEqual => {
            emit_equality(code, width, condition, yes, no)
        }
        SeccompOperator::NotEqual => emit_equality(code, width, condition, no, yes),
        SeccompOperator::Greater => emit_limit(code, width, condition, Test::Greater, (yes, no)),
        SeccompOperator::LessOrEqual => {
            emit_limit(code, width, condition, Test::Greater, (no, yes))
        }
        SeccompOperator::GreaterOrEqual => {
            emit_limit(code, width, condition, Test::GreaterOrEqual, (yes, no))
        }
        SeccompOperator::Less => {
            emit_limit(code, width, condition, Test::GreaterOrEqual, (no, yes))
        }
    }
}

fn emit_equality(
    code: &mut Emitter,
    width: Width,
    condition: &Condition,
    yes: Target,
    no: Target,
) -> Target {
    let offset = low_offset(condition.argument, width);
    let mask = low(condition.mask);
    let equal = emit_half(code, offset, low(condition.value), mask, (yes, no));
    emit_high_equality(code, width, condition, equal, no)
}

fn emit_high_equality(
    code: &mut Emitter,
    width: Width,
    condition: &Condition,
    yes: Target,
    no: Target,
) -> Target {
    if !width.is_64_bit {
        return yes;
    }
    let offset = high_offset(condition.argument, width);
    let mask = high(condition.mask);
    emit_half(code, offset, high(condition.value), mask, (yes, no))
}

/// `word & mask == value`.
fn emit_half(
    code: &mut Emitter,
    offset: u32,
    value: u32,
    mask: u32,
    (yes, no): (Target, Target),
) -> Target {
    if mask == 0 || yes == no {
        return yes;
    }
    let test = if mask == u32::MAX {
        code.branch(Test::Equal, value, yes, no)
    } else if value == 0 {
        code.branch(Test::AnyBit, mask, no, yes)
    } else {
        let test = code.branch(Test::Equal, value, yes, no);
        code.mask(mask, test)
    };
    code.load(offset, test)
}

/// The argument lies above the value, or at it too, as `test` has it.
fn emit_limit(
    code: &mut Emitter,
    width: Width,
    condition: &Condition,
    test: Test,
    (above, below): (Target, Target),
) -> Target {
    if above == below {
        return above;
    }
    let decided = code.branch(test, low(condition.value), above, below);
    let low_half = code.load(low_offset(condition.argument, width), decided);
    if !width.is_64_bit {
        return low_half;
    }
    let value = high(condition.value);
    let tied = if value == 0 {
        code.branch(Test::Equal, 0, low_half, above)
    } else {
        let equal = code.branch(Test::Equal, value, low_half, below);
        code.branch(Test::Greater, value, above, equal)
    };
    code.load(high_offset(condition.argument, width), tied)
}

fn low_offset(argument: u8, width: Width) -> u32 {
    ARGUMENTS_OFFSET + 8 * u32::from(argument) + if width.is_big_endian { 4 } else { 0 }
}

fn high_offset(argument: u8, width: Width) -> u32 {
    ARGUMENTS_OFFSET + 8 * u32::from(argument) + if width.is_big_endian { 0 } else { 4 }
}

fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or(u32::MAX)
}
