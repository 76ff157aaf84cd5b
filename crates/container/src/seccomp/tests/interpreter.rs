//! Runs a filter program the way the kernel does, and refuses what the kernel refuses.

use super::super::Instruction;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) audit: u32,
    pub(super) arguments: [u64; 6],
    pub(super) is_big_endian: bool,
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        assert_eq!(offset % 4, 0, "unaligned load");
        let argument = |index: u32| self.arguments[usize::try_from(index).unwrap()];
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 => {
                let value = argument((offset - 16) / 8);
                let is_second = offset % 8 == 4;
                let half = if is_second == self.is_big_endian {
                    value
                } else {
                    value >> 32
                };
                u32::try_from(half & 0xffff_ffff).unwrap()
            }
            _ => panic!("load at {offset}"),
        }
    }
}

/// What the program returns, and after how many instructions.
pub(super) fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let mut place = 0;
    let mut steps = 0;
    let mut accumulator = 0;
    loop {
        let instruction = program.get(place).expect("ran off the end");
        let constant = instruction.constant;
        place += 1;
        steps += 1;
        let skip = |holds: bool| {
            usize::from(if holds {
                instruction.jump_true
            } else {
                instruction.jump_false
            })
        };
        match instruction.code {
            0x20 => accumulator = call.word(constant),
            0x54 => accumulator &= constant,
            0x05 => place += usize::try_from(constant).unwrap(),
            0x06 => return (constant, steps),
            0x15 => place += skip(accumulator == constant),
            0x25 => place += skip(accumulator > constant),
            0x35 => place += skip(accumulator >= constant),
            0x45 => place += skip(accumulator & constant != 0),
            code => panic!("instruction {code:#x}"),
        }
    }
}
