//! An input section as a line of a linker script that still matches after the next change.
//!
//! Rust's functions have a section each, named after the symbol. In symbols of the v0 form (docs
//! of rustc, "Symbol Mangling") the only parts that change with the toolchain or the lock file are
//! the crates' hashes, `Cs…_`, and with their length the positions in back references, `B…_`. The
//! C library's sections are called alike; what names them is the member of the archive.

use super::map::Section;

/// Endings of the C library's variants for one processor or another.
const VARIANTS: [&str; 5] = ["-avx", "-evex", "-sse", "-ssse", "-erms"];

/// The line for `section`.
pub(super) fn of(section: &Section<'_>) -> String {
    match member(section.file) {
        Some((archive, member)) => format!("  {archive}:{member}({})", section.name),
        None if section.name == ".text" => format!("  *{}(.text)", section.file),
        None => format!("  *({})", without_hashes(section.name)),
    }
}

/// The line for the constants that belong to the function alone: the jump tables of Rust's, and
/// what a member of an archive has. Strings have sections without a stable name.
pub(super) fn of_constants(section: &Section<'_>) -> Option<String> {
    if let Some((archive, member)) = member(section.file) {
        return Some(format!("  {archive}:{member}(.rodata)"));
    }
    let symbol = section.name.strip_prefix(".text.")?;
    let symbol = without_hashes(symbol.strip_prefix("unlikely.").unwrap_or(symbol));
    Some(format!(
        "  *(.rodata.{symbol} .rodata..Lswitch.table.{symbol}*)"
    ))
}

/// The line for all variants of a function of which `section` is one.
pub(super) fn of_variants(section: &Section<'_>) -> Option<String> {
    let (archive, member) = member(section.file)?;
    let cut = VARIANTS
        .iter()
        .filter_map(|ending| member.find(ending))
        .min()?;
    Some(format!("  {archive}:{}-*.o(.text .text.*)", &member[..cut]))
}

/// Archive and member of a C archive. Those of Rust are told by the names of their sections.
fn member(file: &str) -> Option<(String, &str)> {
    let (archive, member) = file.strip_suffix(')')?.split_once('(')?;
    let name = archive.strip_suffix(".a")?;
    // Debian's libm-2.36.a carries its version.
    let stem = name.split_once('-').map_or(name, |(stem, _)| stem);
    let ending = if stem == name { ".a" } else { "-*.a" };
    Some((format!("*{stem}{ending}"), member))
}

fn without_hashes(name: &str) -> String {
    let (name, rest) = match name.split_once(".llvm.") {
        Some((name, _)) => (name, "*"),
        None => (name, ""),
    };
    let mut pattern = String::new();
    let mut left = name;
    while let Some(first) = left.chars().next() {
        if let Some(length) = digits(left, "Cs", 8..=13) {
            pattern.push_str("Cs*_");
            left = &left[2 + length + 1..];
        } else if let Some(length) = digits(left, "B", 0..=3) {
            pattern.push('B');
            pattern.push_str(&"?".repeat(length));
            pattern.push('_');
            left = &left[1 + length + 1..];
        } else {
            pattern.push(first);
            left = &left[first.len_utf8()..];
        }
    }
    pattern + rest
}

/// How many digits of base 62 stand between `prefix` and an underscore.
fn digits(text: &str, prefix: &str, count: std::ops::RangeInclusive<usize>) -> Option<usize> {
    let rest = text.strip_prefix(prefix)?;
    let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
    (count.contains(&length) && rest.as_bytes().get(length) == Some(&b'_')).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::super::map::code_sections;
    use super::*;

    fn section(place: &str) -> String {
        let line = format!("1000 1000 10 4 .text\n1000 1000 10 4         {place}\n");
        of(&code_sections(&line)[0])
    }

    #[test]
    fn hashes_of_crates_are_left_open() {
        assert_eq!(
            section(
                "x/a.rcgu.o:(.text._RINvNtCsjrHSEGnQ3l9_3std2io5errorNtB5_5ErrorECs8uC0ZQfPqR_6insula)"
            ),
            "  *(.text._RINvNtCs*_3std2io5errorNtB?_5ErrorECs*_6insula)"
        );
    }

    #[test]
    fn members_of_archives_are_named() {
        assert_eq!(
            section("/usr/lib/libc.a(malloc.o):(.text)"),
            "  *libc.a:malloc.o(.text)"
        );
        assert_eq!(
            section("/usr/lib/libm-2.36.a(e_pow.o):(.text)"),
            "  *libm-*.a:e_pow.o(.text)"
        );
        assert_eq!(section("/usr/lib/crt1.o:(.text)"), "  *crt1.o(.text)");
    }

    #[test]
    fn constants_follow_their_function() {
        let map = "1 1 1 4 .text\n1 1 1 4         a.rcgu.o:(.text.unlikely.main)\n";
        assert_eq!(
            of_constants(&code_sections(map)[0]).as_deref(),
            Some("  *(.rodata.main .rodata..Lswitch.table.main*)")
        );
        let map = "1 1 1 4 .text\n1 1 1 4         crt1.o:(.text)\n";
        assert_eq!(of_constants(&code_sections(map)[0]), None);
    }

    #[test]
    fn variants_for_other_processors_follow() {
        let map =
            "1 1 1 4 .text\n1 1 1 4         /l/libc.a(memmove-avx512-unaligned-erms.o):(.text)\n";
        let lines = of_variants(&code_sections(map)[0]);
        assert_eq!(
            lines.as_deref(),
            Some("  *libc.a:memmove-*.o(.text .text.*)")
        );
    }
}
