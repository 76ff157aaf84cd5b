//! Receives a layer as a pull does, from a file: `receive STORE FILE`. Says how long it took, how
//! much processor time, and how much memory at most.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use insula_image::{Claim, Descriptor, Digest, LAYER_TYPE, Result, Store};

/// The digest of a file, which a registry would have told.
fn digest(path: &str) -> io::Result<(Digest, u64)> {
    let mut content = Vec::new();
    File::open(path)?.read_to_end(&mut content)?;
    Ok((Digest::of(&content), content.len() as u64))
}

fn receive(store: &str, descriptor: &Descriptor, file: File) -> Result<String> {
    let transaction = Store::new(Path::new(store)).begin()?;
    match transaction.claim_layer(descriptor, None)? {
        Claim::Present(_) => Ok("present".to_owned()),
        Claim::Missing(pending) => {
            let added = pending.receive(Box::new(file), &|_| {})?;
            Ok(format!("{} {:?}", added.diff_id, added.unpacked))
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, path] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let mut error_output = io::stderr();
    // In a process of its own: reading the whole file is not part of the measure.
    if store == "digest" {
        let Ok((digest, size)) = digest(path) else {
            return ExitCode::FAILURE;
        };
        let _ = writeln!(io::stdout(), "{digest} {size}");
        return ExitCode::SUCCESS;
    }
    let own = std::env::current_exe().unwrap_or_default();
    let output = std::process::Command::new(own)
        .args(["digest", path])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let mut words = text.split_whitespace();
    let (Some(Ok(digest)), Some(Ok(size)), Ok(file)) = (
        words.next().map(str::parse),
        words.next().map(str::parse),
        File::open(path),
    ) else {
        return ExitCode::FAILURE;
    };
    let start = Instant::now();
    let received = receive(store, &Descriptor::new(LAYER_TYPE, digest, size), file);
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: Vec<&str> = stat.split(' ').skip(13).take(2).collect();
    let _ = match received {
        Ok(what) => writeln!(
            error_output,
            "{what}\n{seconds:.2} s, ticks of user and system {ticks:?}, {}",
            peak.unwrap_or_default()
        ),
        Err(error) => writeln!(error_output, "error: {}", error.chain()),
    };
    ExitCode::SUCCESS
}
