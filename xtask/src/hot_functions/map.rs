//! The linker's map, as lld writes it: which input section stands at which address.
//!
//! Lines are `VMA LMA size align name`, in hexadecimal; the depth of the name tells an output
//! section (one space) from an input section (eight more) and from a symbol (sixteen).

/// An input section of code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    start: u64,
    end: u64,
    /// Without directories: `insula-….rcgu.o` or `libc.a(malloc.o)`.
    pub(super) file: &'a str,
    pub(super) name: &'a str,
}

/// Everything in `.text` and `.text.hot`, by address.
pub(super) fn code_sections(map: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut is_code = false;
    for line in map.lines() {
        let Some((start, size, name)) = fields(line) else {
            continue;
        };
        let depth = name.len() - name.trim_start().len();
        if depth == 0 {
            is_code = matches!(name, ".text" | ".text.hot");
        } else if is_code && depth == 8 {
            sections.extend(section(start, size, name.trim_start()));
        }
    }
    sections.sort_by_key(|section| section.start);
    sections
}

/// The index of the section that `address` lies in.
pub(super) fn find(sections: &[Section<'_>], address: u64) -> Option<usize> {
    let index = sections
        .partition_point(|section| section.start <= address)
        .checked_sub(1)?;
    (address < sections[index].end).then_some(index)
}

/// Address, size, and the name with what indents it.
fn fields(line: &str) -> Option<(u64, u64, &str)> {
    let mut rest = line;
    let mut numbers = [0; 4];
    for number in &mut numbers {
        rest = rest.trim_start();
        let (word, after) = rest.split_once(' ')?;
        *number = u64::from_str_radix(word, 16).ok()?;
        rest = after;
    }
    Some((numbers[0], numbers[2], rest))
}

/// `/path/file:(.section)`.
fn section(start: u64, size: u64, place: &str) -> Option<Section<'_>> {
    let (path, name) = place.strip_suffix(')')?.rsplit_once(":(")?;
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    Some(Section {
        start,
        end: start + size,
        file,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
             VMA              LMA     Size Align Out     In      Symbol
          200600           200600    65f74    64 .rodata
          200600           200600     1520    16         <internal>:(.rodata.cst16)
          2a7940           2a7940   3910d8    64 .text
          2a7940           2a7940       31    16         /usr/lib/crt1.o:(.text)
          2a7940           2a7940       22     1                 _start
          2a7980           2a7980       10    16         /usr/lib/libc.a(malloc.o):(.text)
";

    #[test]
    fn finds_input_sections_of_code_only() {
        let sections = code_sections(MAP);
        let places: Vec<_> = sections.iter().map(|one| (one.file, one.name)).collect();
        assert_eq!(places, [("crt1.o", ".text"), ("libc.a(malloc.o)", ".text")]);
        assert_eq!(find(&sections, 0x2a_7970), Some(0));
        assert_eq!(find(&sections, 0x2a_7971), None);
        assert_eq!(find(&sections, 0x2a_7980), Some(1));
        assert_eq!(find(&sections, 0x2a_7990), None);
        assert_eq!(find(&sections, 1), None);
    }
}
