//! Writes a classic BPF program from its end to its beginning.
//!
//! Jumps only go forward and conditional ones at most 255 instructions far. Written backwards, the
//! place of every target is known when a jump to it is written: where it is too far, a copy of the
//! return or an unconditional jump is put in between. No instruction falls through into such an
//! insertion, because every block ends in a return or a jump with two targets.
//!
//! Start at [`Emitter::choose`], which turns a sorted list of ranges into a search tree.

use insula_sys::seccomp::Instruction;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// `struct seccomp_data`: where a filter finds the call's number, architecture and arguments.
pub(super) const NUMBER_OFFSET: u32 = 0;
pub(super) const ARCHITECTURE_OFFSET: u32 = 4;
pub(super) const ARGUMENTS_OFFSET: u32 = 16;

/// A comparison of the accumulator with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
    AnyBit = 0x45,
}

/// Where a decision ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// `SECCOMP_RET_*` with its value.
    Return(u32),
    /// An instruction, counted from the end of the program.
    Code(u32),
}

/// From `start` up to the next range's start, the accumulator leads to `target`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) target: Target,
}

#[derive(Debug, Default)]
pub(super) struct Emitter {
    /// The last instruction of the program first.
    reversed: Vec<Instruction>,
    /// The nearest copy of each return.
    returns: Vec<(u32, u32)>,
}

impl Emitter {
    pub(super) fn with_capacity(instructions: usize) -> Self {
        Self {
            reversed: Vec::with_capacity(instructions),
            returns: Vec::with_capacity(8),
        }
    }

    /// How many instructions there are; also the place of the next one.
    pub(super) fn len(&self) -> u32 {
        // `assemble` gives up long before: every call number has a bounded share of the program.
        u32::try_from(self.reversed.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// Compares the accumulator and goes on at one of two targets.
    pub(super) fn branch(&mut self, test: Test, constant: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // What is inserted for `no` may push `yes` one further away.
        let yes = self.reach(yes, 1);
        let no = self.reach(no, 0);
        let (jump_true, jump_false) = (self.distance(yes), self.distance(no));
        self.push(Instruction {
            code: test as u16,
            jump_true: u8::try_from(jump_true).unwrap_or(u8::MAX),
            jump_false: u8::try_from(jump_false).unwrap_or(u8::MAX),
            constant,
        })
    }

    /// Loads the word at `offset` of the call's description and goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.straight(LOAD, offset, next)
    }

    /// Keeps only the bits of `mask` in the accumulator and goes on at `next`.
    pub(super) fn mask(&mut self, mask: u32, next: Target) -> Target {
        self.straight(AND, mask, next)
    }

    /// Finds the range that the accumulator lies in. The first range starts at 0.
    ///
    /// An instruction costs the kernel's compiler about as much as forty steps cost its trial run
    /// over all call numbers, so single values inside a range are asked for one after the other,
    /// [`LONGEST_RUN`] at most, and a search tree leads to these runs.
    pub(super) fn choose(&mut self, ranges: &[Range]) -> Target {
        let mut runs = Vec::with_capacity(ranges.len());
        let mut rest = ranges;
        while !rest.is_empty() {
            let run = Run::longest(rest);
            rest = &rest[run.ranges.len()..];
            runs.push(run);
        }
        self.search(&runs)
    }

    fn search(&mut self, runs: &[Run<'_>]) -> Target {
        match runs {
            [] => Target::Return(0),
            [run] => {
                let others = run
                    .ranges
                    .iter()
                    .rev()
                    .filter(|range| range.target != run.usual);
                others.fold(run.usual, |next, range| {
                    self.branch(Test::Equal, range.start, range.target, next)
                })
            }
            _ => {
                let (low, high) = runs.split_at(balanced_split(runs));
                let above = self.search(high);
                let below = self.search(low);
                self.branch(Test::GreaterOrEqual, high[0].ranges[0].start, above, below)
            }
        }
    }

    /// An instruction that falls through into the next one.
    fn straight(&mut self, code: u16, constant: u32, next: Target) -> Target {
        self.start_at(next);
        self.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            constant,
        })
    }

    /// A place at most 255 instructions (less `slack`) away that leads to `target`.
    fn reach(&mut self, target: Target, slack: u32) -> u32 {
        let place = self.place(target);
        if self.distance(place) + slack <= u32::from(u8::MAX) {
            return place;
        }
        match target {
            Target::Return(value) => self.put_return(value),
            Target::Code(place) => self.jump(place),
        }
    }

    /// Where `target` is; writes the return when there is none yet.
    fn place(&mut self, target: Target) -> u32 {
        match target {
            Target::Code(place) => place,
            Target::Return(value) => match self.returns.iter().find(|(known, _)| *known == value) {
                Some((_, place)) => *place,
                None => self.put_return(value),
            },
        }
    }

    /// Makes the first instruction written so far lead to `target`.
    pub(super) fn start_at(&mut self, target: Target) {
        let place = self.place(target);
        if place + 1 != self.len() {
            self.jump(place);
        }
    }

    fn put_return(&mut self, value: u32) -> u32 {
        let place = self.len();
        self.reversed.push(Instruction {
            code: RETURN,
            jump_true: 0,
            jump_false: 0,
            constant: value,
        });
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, place));
        place
    }

    fn jump(&mut self, place: u32) -> u32 {
        let distance = self.distance(place);
        self.reversed.push(Instruction {
            code: JUMP,
            jump_true: 0,
            jump_false: 0,
            constant: distance,
        });
        self.len() - 1
    }

    /// How many instructions the next one to be written would have to skip to get to `place`.
    fn distance(&self, place: u32) -> u32 {
        self.len() - place - 1
    }

    fn push(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target::Code(self.len() - 1)
    }
}

/// Neighbouring ranges, all leading to `usual` except for a few that hold a single value.
struct Run<'a> {
    ranges: &'a [Range],
    usual: Target,
    /// How many values lead here, as far as the kernel will try them.
    weight: u32,
}

/// So many single values are asked for one after the other.
const LONGEST_RUN: usize = 3;
/// Call numbers from here on are never tried by the kernel.
const TRIED: u32 = 512;

impl<'a> Run<'a> {
    /// The longest run at the beginning of `ranges`, which must not be empty.
    fn longest(ranges: &'a [Range]) -> Self {
        let mut usual = ranges[0].target;
        let mut length = run_length(ranges, usual);
        if let Some(second) = ranges.get(1)
            && run_length(ranges, second.target) > length
        {
            usual = second.target;
            length = run_length(ranges, usual);
        }
        let end = ranges
            .get(length)
            .map_or(TRIED, |behind| behind.start.min(TRIED));
        Self {
            ranges: &ranges[..length],
            usual,
            weight: 1 + end.saturating_sub(ranges[0].start),
        }
    }
}

/// How many ranges from the first on are `usual` or one of a few single values.
fn run_length(ranges: &[Range], usual: Target) -> usize {
    let mut singles = 0;
    for (index, range) in ranges.iter().enumerate() {
        if range.target == usual {
            continue;
        }
        let behind = ranges.get(index + 1);
        let is_single = behind.is_some_and(|behind| behind.start - range.start == 1);
        singles += 1;
        if !is_single || singles > LONGEST_RUN {
            return index;
        }
    }
    ranges.len()
}

/// Where to split, so that both sides weigh about the same. Between 1 and the last index.
fn balanced_split(runs: &[Run<'_>]) -> usize {
    let total: u32 = runs.iter().map(|run| run.weight).sum();
    let mut below = 0;
    for (index, run) in runs.iter().enumerate() {
        let with = below + run.weight;
        if with * 2 >= total {
            // Nearer to the middle: before this run or behind it.
            let is_before = index > 0 && total - 2 * below < 2 * with - total;
            let split = if is_before { index } else { index + 1 };
            return split.clamp(1, runs.len() - 1);
        }
        below = with;
    }
    runs.len() / 2
}
