//! Measures what a seccomp filter costs: compiling, seccomp(2) alone, its size and depth.
//!
//!     cargo run -p insula-container --release --example seccomp_load [PROFILE.json] [RUNS]
//!
//! `PROFILE.json` holds a `linux.seccomp` object; without it the default profile is taken. Medians;
//! what is called fresh happened once in each of many processes. Beside the compiled filter stand
//! a naive one for the same profile (one comparison after the other, and, where an argument is
//! looked at, the answer for zero), a filter of one instruction, and a hit in a cache of compiled
//! filters on tmpfs: digest of the profile, read of the file, check.

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use insula_container::seccomp::{Filter, Instruction, compile, default_filter, default_profile};
use insula_container::spec::Seccomp;
use insula_sys::rustix::thread::set_no_new_privs;
use insula_sys::seccomp::load;
use sha2::{Digest as _, Sha256};

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;
const EQUAL: u16 = 0x15;
const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
/// How many call numbers the kernel tries when it loads a filter.
const KERNEL_CALLS: u32 = 472;
const NO_CAPABILITY: [&str; 0] = [];

#[expect(clippy::print_stdout, reason = "the result of a measuring program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let path = arguments.get(1).map_or("", String::as_str);
    let profile: Seccomp = match path {
        "" => default_profile(&NO_CAPABILITY),
        path => serde_json::from_str(&std::fs::read_to_string(path)?)?,
    };
    if let Some(kind) = arguments.get(3) {
        println!("{}", once(kind, &profile)?);
        return Ok(());
    }
    let runs: usize = arguments.get(2).map_or(Ok(300), |runs| runs.parse())?;
    let filter = compile(&profile).map_err(|error| error.chain())?;
    write_cache(&profile, &filter)?;
    println!(
        "compile: {:.1?}",
        median_of(runs, || compile(&profile).is_ok())
    );
    println!(
        "cache hit: {:.1?}",
        median_of(runs, || read_cache(&profile).is_ok())
    );
    for kind in ["compile", "cache", "default"] {
        println!("{kind}, fresh: {:.1?}", fresh(path, kind, runs)?);
    }
    for kind in ["tree", "naive", "floor"] {
        let program = program(kind, &filter);
        println!(
            "{kind}: {} instructions, {} steps for all calls, fresh load {:.1?}",
            program.len(),
            all_steps(&program),
            fresh(path, kind, runs)?
        );
    }
    Ok(std::fs::remove_file(cache_path(&profile)?)?)
}

fn program(kind: &str, filter: &Filter) -> Vec<Instruction> {
    match kind {
        "naive" => naive(filter),
        "floor" => floor(),
        _ => filter.instructions.clone(),
    }
}

/// In a process of its own: the nanoseconds that one load, compilation or cache hit takes.
fn once(kind: &str, profile: &Seccomp) -> Result<u128, Box<dyn Error>> {
    let start = Instant::now();
    let is_done = match kind {
        "compile" => compile(profile).is_ok(),
        "cache" => read_cache(profile).is_ok(),
        "default" => default_filter(&NO_CAPABILITY).is_ok(),
        _ => false,
    };
    if is_done {
        return Ok(start.elapsed().as_nanos());
    }
    let filter = compile(profile).map_err(|error| error.chain())?;
    let program = program(kind, &filter);
    set_no_new_privs(true)?;
    let start = Instant::now();
    load(&program, filter.flags)?;
    Ok(start.elapsed().as_nanos())
}

fn cache_path(profile: &Seccomp) -> Result<String, Box<dyn Error>> {
    let digest = Sha256::digest(serde_json::to_vec(profile)?);
    let mut path = String::from("/dev/shm/insula-seccomp-");
    for byte in digest {
        write!(path, "{byte:02x}")?;
    }
    Ok(path)
}

/// The words of each instruction, and at the end what the reader checks them with.
fn write_cache(profile: &Seccomp, filter: &Filter) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    for instruction in &filter.instructions {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
        bytes.extend_from_slice(&instruction.constant.to_ne_bytes());
    }
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    Ok(std::fs::write(cache_path(profile)?, bytes)?)
}

fn read_cache(profile: &Seccomp) -> Result<Vec<Instruction>, Box<dyn Error>> {
    let bytes = std::fs::read(cache_path(profile)?)?;
    let (body, digest) = bytes.split_last_chunk::<32>().ok_or("torn")?;
    if Sha256::digest(body).as_slice() != digest {
        return Err("torn".into());
    }
    let (words, _) = body.as_chunks::<8>();
    let instruction = |[a, b, jump_true, jump_false, rest @ ..]: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([*a, *b]),
        jump_true: *jump_true,
        jump_false: *jump_false,
        constant: u32::from_ne_bytes(*rest),
    };
    Ok(words.iter().map(instruction).collect())
}

fn fresh(path: &str, kind: &str, runs: usize) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let output = Command::new(std::env::current_exe()?)
            .args([path, "", kind])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        times.push(Duration::from_nanos(text.trim().parse()?));
    }
    times.sort_unstable();
    Ok(times[runs / 2])
}

fn median_of(runs: usize, mut body: impl FnMut() -> bool) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            black_box(body());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

/// What any load costs: a filter that allows everything.
fn floor() -> Vec<Instruction> {
    vec![Instruction {
        code: RETURN,
        constant: 0x7fff_0000,
        ..Instruction::default()
    }]
}

/// The same answers, asked for one after the other.
fn naive(filter: &Filter) -> Vec<Instruction> {
    let put = |code, jump_true, jump_false, constant| Instruction {
        code,
        jump_true,
        jump_false,
        constant,
    };
    let mut program = vec![put(LOAD, 0, 0, 4)];
    for architecture in [X86_64, X86] {
        let mut section = vec![put(LOAD, 0, 0, 0)];
        let default = run(&filter.instructions, architecture, 1000).0;
        for number in 0..KERNEL_CALLS {
            let answer = run(&filter.instructions, architecture, number).0;
            if answer != default {
                section.push(put(EQUAL, 0, 1, number));
                section.push(put(RETURN, 0, 0, answer));
            }
        }
        section.push(put(RETURN, 0, 0, default));
        program.push(put(EQUAL, 1, 0, architecture));
        program.push(put(JUMP, 0, 0, u32::try_from(section.len()).unwrap_or(0)));
        program.append(&mut section);
    }
    program.push(put(RETURN, 0, 0, 0));
    program
}

fn all_steps(program: &[Instruction]) -> usize {
    let calls = |architecture| (0..KERNEL_CALLS).map(move |number| (architecture, number));
    let steps = |(architecture, number)| run(program, architecture, number).1;
    calls(X86_64).chain(calls(X86)).map(steps).sum()
}

/// The answer to a call whose arguments are zero, and the steps to it.
fn run(program: &[Instruction], architecture: u32, number: u32) -> (u32, usize) {
    let (mut place, mut steps, mut accumulator) = (0, 0, 0);
    loop {
        let Instruction {
            code,
            jump_true,
            jump_false,
            constant,
        } = program[place];
        place += 1;
        steps += 1;
        let holds = match code {
            LOAD => {
                accumulator = match constant {
                    0 => number,
                    4 => architecture,
                    _ => 0,
                };
                continue;
            }
            RETURN => return (constant, steps),
            JUMP => {
                place += usize::try_from(constant).unwrap_or(usize::MAX);
                continue;
            }
            EQUAL => accumulator == constant,
            0x25 => accumulator > constant,
            0x35 => accumulator >= constant,
            0x45 => accumulator & constant != 0,
            _ => {
                accumulator &= constant;
                continue;
            }
        };
        place += usize::from(if holds { jump_true } else { jump_false });
    }
}
