//! What the release binary must not contain: a loader, and the C library's door to the host's
//! configuration.
//!
//! The linker takes an object out of the static C library only when something refers to it, and
//! drops functions that nothing reaches. So a name in the symbol table means that our code, or a
//! dependency's, calls it. `dlopen` is not judged by name: glibc carries it for its own use in any
//! static program. It is held by the absence of a loader, by `deny.toml` and by `tidy`.

use std::path::Path;

use crate::Findings;
use crate::elf::{Elf, PT_DYNAMIC, PT_INTERP};

/// Each reads files of the host, loads libraries of the host, or both.
const FORBIDDEN: [&str; 18] = [
    "getaddrinfo",
    "getgrent",
    "getgrgid",
    "getgrgid_r",
    "getgrnam",
    "getgrnam_r",
    "getgrouplist",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_r",
    "getnameinfo",
    "getpwent",
    "getpwnam",
    "getpwnam_r",
    "getpwuid",
    "getpwuid_r",
    "iconv_open",
    "initgroups",
];

pub(crate) fn run(file: &str) -> Result<Findings, String> {
    let bytes = std::fs::read(Path::new(file)).map_err(|error| format!("read {file}: {error}"))?;
    judge(&bytes).ok_or_else(|| format!("{file} is not a whole 64-bit ELF file with symbols"))
}

fn judge(bytes: &[u8]) -> Option<Findings> {
    let elf = Elf::new(bytes)?;
    let mut findings = Findings::new();
    for kind in elf.segment_types()? {
        match kind {
            PT_INTERP => findings.push("the binary asks for a loader (PT_INTERP)".into()),
            PT_DYNAMIC => findings.push("the binary has dynamic relocations (PT_DYNAMIC)".into()),
            _ => {}
        }
    }
    for symbol in elf.defined_symbols()? {
        if FORBIDDEN.contains(&symbol) {
            findings.push(format!("the binary contains {symbol}: something calls it"));
        }
    }
    Some(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_is_static_and_readable() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let findings = judge(&bytes).unwrap();
        assert!(!findings.iter().any(|finding| finding.contains("PT_INTERP")));
    }

    #[test]
    fn a_damaged_file_is_no_elf() {
        assert_eq!(judge(b"\x7fELF\x02\x01short"), None);
    }
}
