//! Random profiles, compiled and read directly, must agree on every call.

use super::super::architecture::{Architecture, X32_BIT};
use super::super::compile;
use super::super::names::name_of;
use super::super::table::ROWS;
use super::evaluate::evaluate;
use super::interpreter::{Call, run};
use crate::spec::{
    Seccomp, SeccompAction, SeccompArchitecture as Name, SeccompArg, SeccompOperator, SeccompRule,
};

const ARCHITECTURES: [Name; 23] = [
    Name::X86,
    Name::X86_64,
    Name::X32,
    Name::Arm,
    Name::Aarch64,
    Name::Mips,
    Name::Mips64,
    Name::Mips64N32,
    Name::Mipsel,
    Name::Mipsel64,
    Name::Mipsel64N32,
    Name::Ppc,
    Name::Ppc64,
    Name::Ppc64Le,
    Name::S390,
    Name::S390X,
    Name::Parisc,
    Name::Parisc64,
    Name::Riscv64,
    Name::Loongarch64,
    Name::M68k,
    Name::Sh,
    Name::Sheb,
];
const ACTIONS: [SeccompAction; 8] = [
    SeccompAction::Kill,
    SeccompAction::KillProcess,
    SeccompAction::KillThread,
    SeccompAction::Trap,
    SeccompAction::Errno,
    SeccompAction::Trace,
    SeccompAction::Allow,
    SeccompAction::Log,
];
const OPERATORS: [SeccompOperator; 7] = [
    SeccompOperator::NotEqual,
    SeccompOperator::Less,
    SeccompOperator::LessOrEqual,
    SeccompOperator::Equal,
    SeccompOperator::GreaterOrEqual,
    SeccompOperator::Greater,
    SeccompOperator::MaskedEqual,
];
/// Values near each other and near the border of the halves, so that conditions meet.
const VALUES: [u64; 12] = [
    0,
    1,
    2,
    16,
    0x7e02_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

/// xorshift64*: the seed alone decides.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn profile(&mut self) -> Seccomp {
        let names = 1 + self.below(40);
        let names: Vec<&str> = (0..names).map(|_| name_of(self.below(ROWS))).collect();
        let sockets = [
            "socket",
            "connect",
            "socketcall",
            "semget",
            "ipc",
            "send",
            "personality",
        ];
        let syscalls = (0..self.below(12))
            .map(|_| self.rule(&names, &sockets))
            .collect();
        let default_action = self.pick(&ACTIONS);
        Seccomp {
            default_action,
            default_errno_ret: self.errno(default_action),
            architectures: (0..self.below(5))
                .map(|_| self.pick(&ARCHITECTURES))
                .collect(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            syscalls,
        }
    }

    fn rule(&mut self, names: &[&str], sockets: &[&str]) -> SeccompRule {
        let action = self.pick(&ACTIONS);
        let from = if self.below(3) == 0 { sockets } else { names };
        let count = if self.below(2) == 0 { 0 } else { self.below(4) };
        SeccompRule {
            names: (0..=self.below(8))
                .map(|_| self.pick(from).to_owned())
                .collect(),
            action,
            errno_ret: self.errno(action),
            args: (0..count).map(|_| self.argument()).collect(),
        }
    }

    fn argument(&mut self) -> SeccompArg {
        SeccompArg {
            index: u32::try_from(self.below(3)).unwrap(),
            value: self.pick(&VALUES),
            value_two: self.pick(&VALUES),
            op: self.pick(&OPERATORS),
        }
    }

    fn errno(&mut self, action: SeccompAction) -> Option<u32> {
        let takes_one = matches!(action, SeccompAction::Errno | SeccompAction::Trace);
        (takes_one && self.below(2) == 0).then(|| self.pick(&[0, 1, 2, 38, 4095]))
    }

    fn call(&mut self, profile: &Seccomp) -> Call {
        let name = match self.below(4) {
            0 => self.pick(&ARCHITECTURES),
            1 if !profile.architectures.is_empty() => self.pick(&profile.architectures),
            _ => Name::X86_64,
        };
        let architecture = Architecture::of(name);
        let number = match self.below(8) {
            0 => u32::try_from(self.next() & 0xffff_ffff).unwrap(),
            1 => self.pick(&[u32::MAX, X32_BIT, X32_BIT - 1, 0, 461, 462, 470, 1000]),
            _ => {
                let named: Vec<&String> = profile.syscalls.iter().flat_map(|r| &r.names).collect();
                let row = match self.below(3) {
                    0 => self.below(ROWS),
                    _ if named.is_empty() => self.below(ROWS),
                    _ => {
                        let name = self.pick(&named);
                        (0..ROWS).find(|row| name_of(*row) == name).unwrap()
                    }
                };
                architecture
                    .slot(row)
                    .map_or(7, |slot| architecture.number(slot))
            }
        };
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            let change = self.pick(&[0, 0, 1, u64::MAX]);
            *argument = self.pick(&VALUES).wrapping_add(change);
        }
        Call {
            number,
            audit: architecture.audit,
            arguments,
            is_big_endian: architecture.width.is_big_endian,
        }
    }
}

#[test]
fn programs_decide_as_their_profiles_read() {
    let seed = std::env::var("INSULA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let rounds = if seed == 1 { 1500 } else { 20_000 };
    let mut random = Random(seed);
    for round in 0..rounds {
        let profile = random.profile();
        let filter = compile(&profile).unwrap();
        for _ in 0..100 {
            let call = random.call(&profile);
            assert_eq!(
                run(&filter.instructions, &call).0,
                evaluate(&profile, &call),
                "round {round}: {call:x?} under {}",
                serde_json::to_string_pretty(&profile).unwrap(),
            );
        }
    }
}

#[test]
fn far_jumps_are_bridged() {
    let mut random = Random(7);
    // Two actions in turn over all calls: no ranges to merge, a tree of hundreds of leaves.
    let mut rule = |offset: usize, action, value| SeccompRule {
        names: (offset..ROWS)
            .step_by(2)
            .map(|row| name_of(row).to_owned())
            .collect(),
        action,
        errno_ret: None,
        args: if value == 0 {
            Vec::new()
        } else {
            vec![SeccompArg {
                value,
                ..random.argument()
            }]
        },
    };
    let profile = Seccomp {
        default_action: SeccompAction::Trap,
        default_errno_ret: None,
        architectures: vec![Name::X86, Name::X32, Name::Mips, Name::S390X],
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: vec![
            rule(0, SeccompAction::Allow, 0),
            rule(1, SeccompAction::Errno, 0),
            rule(1, SeccompAction::Log, 3),
        ],
    };
    let filter = compile(&profile).unwrap();
    let jumps = filter
        .instructions
        .iter()
        .filter(|instruction| instruction.code == 0x05);
    assert!(jumps.count() > 0, "nothing was far");
    for _ in 0..20_000 {
        let call = random.call(&profile);
        assert_eq!(
            run(&filter.instructions, &call).0,
            evaluate(&profile, &call),
            "{call:x?}"
        );
    }
}
