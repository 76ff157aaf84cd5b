//! The device rules as a program for version 2.
//!
//! The program walks the rules from the last to the first and keeps the wanted access bits that no
//! rule has granted yet: a matching rule that allows clears its bits (none left: allowed), a
//! matching rule that denies one of the bits left ends it (denied). So each bit is decided by the
//! last rule that names it. Neighbours share the test of their kind and major number, for the
//! kernel's verifier takes a microsecond per instruction. The context is `struct
//! bpf_cgroup_dev_ctx`: access << 16 | type, major, minor, each of 32 bits.

use insula_sys::bpf::Instruction;

use super::devices::{EVERYTHING, Kind, Rule};
use crate::error::{Error, Result};

const LOAD_WORD: u8 = 0x61;
const AND_IMMEDIATE_32: u8 = 0x54;
const RIGHT_SHIFT_IMMEDIATE_32: u8 = 0x74;
const MOVE_IMMEDIATE: u8 = 0xb7;
const JUMP_ALWAYS: u8 = 0x05;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_BITS_SET: u8 = 0x45;
const EXIT: u8 = 0x95;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn instruction(code: u8, register: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset,
        immediate,
    }
}

const fn load(register: u8, offset: i16) -> Instruction {
    instruction(LOAD_WORD, CONTEXT << 4 | register, offset, 0)
}

/// Builds the program for `rules`, which apply in their order on top of "nothing is allowed".
pub(super) fn build(rules: &[Rule]) -> Result<Vec<Instruction>> {
    // Before the last rule about everything, none counts, and its code would be unreachable.
    let first = rules.iter().rposition(Rule::is_total);
    let default = first.is_some_and(|first| rules[first].allow);
    let mut rules = rules[first.map_or(0, |first| first + 1)..].to_vec();
    rules.reverse();

    let mut program = Program::default();
    program.code.reserve(16 + rules.len() * 3);
    program.code.extend([
        load(KIND, 0),
        load(ACCESS, 0),
        instruction(AND_IMMEDIATE_32, KIND, 0, 0xffff),
        instruction(RIGHT_SHIFT_IMMEDIATE_32, ACCESS, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ]);
    for run in rules.chunk_by(|a, b| a.kind == b.kind) {
        program.add_kind(run)?;
    }
    program.finish(default)
}

/// Whether the code after a rule can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Reachable,
    Decided,
}

/// A program in the making, with the jumps to its two ends that still lack their distance.
#[derive(Default)]
struct Program {
    code: Vec<Instruction>,
    allowing: Vec<usize>,
    denying: Vec<usize>,
}

impl Program {
    /// Rules of one kind.
    fn add_kind(&mut self, rules: &[Rule]) -> Result<()> {
        let kind = rules
            .first()
            .and_then(|rule| rule.kind)
            .map(|kind| match kind {
                Kind::Block => 1,
                Kind::Character => 2,
            });
        let skip = self.skip_unless(KIND, kind);
        for run in rules.chunk_by(|a, b| a.major == b.major) {
            let major = run.first().and_then(|rule| rule.major);
            let skip = self.skip_unless(MAJOR, immediate(major)?);
            let mut next = Next::Reachable;
            for rule in run {
                if next == Next::Reachable {
                    next = self.add_minor(rule)?;
                }
            }
            if skip.is_none() && next == Next::Decided {
                break;
            }
            self.land(skip)?;
        }
        self.land(skip)
    }

    /// One rule whose kind and major number fit.
    fn add_minor(&mut self, rule: &Rule) -> Result<Next> {
        let minor = immediate(rule.minor)?;
        if rule.access == EVERYTHING {
            let (code, number) = match minor {
                Some(minor) => (JUMP_IF_EQUAL, minor),
                None => (JUMP_ALWAYS, 0),
            };
            let register = if minor.is_some() { MINOR } else { 0 };
            self.jump_to_end(rule.allow, instruction(code, register, 0, number));
            return Ok(if minor.is_some() {
                Next::Reachable
            } else {
                Next::Decided
            });
        }
        let skip = self.skip_unless(MINOR, minor);
        let bits = i32::from(rule.access);
        if rule.allow {
            self.code
                .push(instruction(AND_IMMEDIATE_32, ACCESS, 0, !bits));
            self.jump_to_end(true, instruction(JUMP_IF_EQUAL, ACCESS, 0, 0));
        } else {
            self.jump_to_end(false, instruction(JUMP_IF_BITS_SET, ACCESS, 0, bits));
        }
        self.land(skip)?;
        Ok(Next::Reachable)
    }

    /// A jump over what follows, to [`Program::land`], unless the register has the wanted value.
    fn skip_unless(&mut self, register: u8, wanted: Option<i32>) -> Option<usize> {
        let wanted = wanted?;
        self.code
            .push(instruction(JUMP_UNLESS_EQUAL, register, 0, wanted));
        Some(self.code.len() - 1)
    }

    fn jump_to_end(&mut self, allow: bool, jump: Instruction) {
        let list = if allow {
            &mut self.allowing
        } else {
            &mut self.denying
        };
        list.push(self.code.len());
        self.code.push(jump);
    }

    /// Lets a jump lead to the next instruction.
    fn land(&mut self, jump: Option<usize>) -> Result<()> {
        let Some(jump) = jump else { return Ok(()) };
        let distance = i16::try_from(self.code.len() - jump - 1);
        self.code[jump].offset = distance.or(Err(Error::new("there are too many device rules")))?;
        Ok(())
    }

    fn finish(mut self, default: bool) -> Result<Vec<Instruction>> {
        // The default comes first: what falls through the rules reaches it.
        for allow in [default, !default] {
            let jumps = std::mem::take(if allow {
                &mut self.allowing
            } else {
                &mut self.denying
            });
            if allow != default && jumps.is_empty() {
                continue;
            }
            jumps
                .into_iter()
                .try_for_each(|jump| self.land(Some(jump)))?;
            self.code
                .push(instruction(MOVE_IMMEDIATE, RESULT, 0, allow.into()));
            self.code.push(instruction(EXIT, 0, 0, 0));
        }
        Ok(self.code)
    }
}

fn immediate(number: Option<u32>) -> Result<Option<i32>> {
    let fits = number.map(i32::try_from).transpose();
    fits.or(Err(Error::new("a device number does not fit")))
}

#[cfg(test)]
mod tests {
    use super::super::devices::{MKNOD, READ, WRITE, ordered};
    use super::*;
    use crate::spec::DeviceRule;

    /// Runs the program as the kernel would; `None` when it leaves its bounds.
    fn run(program: &[Instruction], kind: u32, access: u8, major: u32, minor: u32) -> Option<bool> {
        let context = [u32::from(access) << 16 | kind, major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0_usize;
        for _ in 0..10_000 {
            let now = program.get(at)?;
            at += 1;
            let register = usize::from(now.registers & 15);
            let value = registers[register];
            let immediate = u64::from(now.immediate.cast_unsigned());
            let jump = at.checked_add_signed(isize::from(now.offset))?;
            match now.code {
                LOAD_WORD => {
                    registers[register] = context[usize::try_from(now.offset).ok()? / 4].into();
                }
                AND_IMMEDIATE_32 => registers[register] = value & immediate,
                RIGHT_SHIFT_IMMEDIATE_32 => registers[register] = value >> immediate,
                MOVE_IMMEDIATE => registers[register] = immediate,
                JUMP_UNLESS_EQUAL if value != immediate => at = jump,
                JUMP_IF_EQUAL if value == immediate => at = jump,
                JUMP_IF_BITS_SET if value & immediate != 0 => at = jump,
                JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL | JUMP_IF_BITS_SET => {}
                JUMP_ALWAYS => at = jump,
                EXIT => return Some(registers[0] != 0),
                _ => return None,
            }
        }
        None
    }

    /// What the rules say, bit by bit.
    fn model(rules: &[Rule], kind: Kind, access: u8, major: u32, minor: u32) -> bool {
        [READ, WRITE, MKNOD]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| {
                let decides = |rule: &&Rule| {
                    rule.access & bit != 0
                        && rule.kind.is_none_or(|wanted| wanted == kind)
                        && rule.major.is_none_or(|wanted| wanted == major)
                        && rule.minor.is_none_or(|wanted| wanted == minor)
                };
                rules
                    .iter()
                    .rev()
                    .find(decides)
                    .is_some_and(|rule| rule.allow)
            })
    }

    /// All rules of a small world, in pseudo-random lists, against every request of that world.
    #[test]
    fn the_program_agrees_with_the_rules() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..300 {
            let rules: Vec<Rule> = (0..random(8))
                .map(|_| Rule {
                    allow: random(2) == 0,
                    kind: [None, Some(Kind::Block), Some(Kind::Character)][random(3)],
                    major: [None, Some(1), Some(2)][random(3)],
                    minor: [None, Some(1), Some(2)][random(3)],
                    access: u8::try_from(random(7)).unwrap() + 1,
                })
                .collect();
            let program = build(&rules).unwrap();
            assert_verified(&program);
            for (kind, number) in [(Kind::Block, 1), (Kind::Character, 2)] {
                for request in 0..27_u32 {
                    let (major, minor) = (request % 3 + 1, request / 3 % 3 + 1);
                    for access in 1..8 {
                        assert_eq!(
                            run(&program, number, access, major, minor),
                            Some(model(&rules, kind, access, major, minor)),
                            "{rules:?} {kind:?} {major}:{minor} {access}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_usual_container_may_read_null_and_not_the_disk() {
        let deny_all = DeviceRule {
            access: Some("rwm".into()),
            ..DeviceRule::default()
        };
        let program = build(&ordered(&[deny_all]).unwrap()).unwrap();
        assert_eq!(run(&program, 2, READ | WRITE, 1, 3), Some(true));
        assert_eq!(run(&program, 1, READ, 8, 0), Some(false));
        assert_eq!(run(&program, 1, MKNOD, 8, 0), Some(true));
        assert_eq!(run(&program, 2, READ | WRITE, 10, 229), Some(false));
    }

    /// The kernel's verifier has the last word, where it lets us ask it.
    fn assert_verified(program: &[Instruction]) {
        let mut log = vec![0_u8; 1 << 16];
        match insula_sys::bpf::load_device_filter(program, Some(&mut log)) {
            Ok(_) | Err(insula_sys::Errno::PERM | insula_sys::Errno::NOSYS) => {}
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&log)),
        }
    }

    #[test]
    fn the_usual_program_is_short() {
        let program = build(&ordered(&[DeviceRule::default()]).unwrap()).unwrap();
        assert_verified(&program);
        assert!(program.len() <= 36, "{}", program.len());
    }

    #[test]
    fn too_many_rules_are_refused() {
        let rule = |minor| Rule {
            allow: true,
            kind: Some(Kind::Block),
            major: Some(minor % 2),
            minor: Some(minor),
            access: READ,
        };
        let rules: Vec<Rule> = (0..20_000).map(rule).collect();
        assert!(build(&rules).is_err());
    }
}
