//! The fuzz targets without a fuzzer: each with its seeds, and with changes of them from a fixed
//! seed, so that every toolchain and every run of the tests exercises them.
//!
//! `INSULA_FUZZ_ROUNDS` prolongs it, `INSULA_FUZZ_SEED` changes what is tried. A failure prints the
//! bytes, which go to `fuzz/seeds/` when it is mended. Start at [`replay`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "it is a library elsewhere, and fails by panicking"
)]
mod targets;

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Changed inputs for each target, without `INSULA_FUZZ_ROUNDS`.
const ROUNDS: u64 = 1000;
/// Values at which lengths and offsets turn over.
const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/// xorshift64*: the same inputs for the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % bound.max(1)
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Something near `seed`, or between it and another one.
fn changed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let length = random.below(16.min(bytes.len() - at) + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = EDGES[random.below(EDGES.len())],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let copy = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let rest = other[random.below(other.len() + 1)..].to_vec();
                bytes.truncate(at);
                bytes.extend(rest);
            }
            // A number in a text grows.
            _ => bytes.splice(at..at, *b"9").for_each(drop),
        }
    }
    bytes
}

fn replay(name: &str) {
    let (_, run) = targets::TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let seed = number_of("INSULA_FUZZ_SEED").unwrap_or(0x5eed) | 1;
    let mut random = Random(seed);
    let rounds = number_of("INSULA_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let inputs = seeds.iter().cloned();
    let changes = (0..rounds).map(|_| changed(&mut random, &seeds));
    for (number, input) in inputs.chain(changes).enumerate() {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&input)));
        if outcome.is_err() {
            let mut hex = String::new();
            for byte in &input {
                write!(hex, "{byte:02x}").unwrap();
            }
            panic!("{name}: input {number} of seed {seed} fails:\n{hex}");
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let all = targets::TARGETS.map(|(name, _)| name);
            assert_eq!(all, [$(stringify!($name)),*]);
        }
    };
}

targets! {
    bzip2 config_json containerfile erofs gzip image_archive layer_write manifest reference
    registries_conf tar_import xz zstd
}
