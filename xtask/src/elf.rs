//! As much of ELF64 as a check of the binary needs: program headers and the symbol table.
//!
//! Every read is bounded; a damaged file gives `None`, never a panic.

/// Program header types (elf.h).
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_INTERP: u32 = 3;

const SHT_SYMTAB: u32 = 2;

/// A 64-bit little-endian ELF file in memory.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        // Magic, 64 bits, little endian.
        bytes
            .starts_with(b"\x7fELF\x02\x01")
            .then_some(Self { bytes })
    }

    /// Types of the program headers.
    pub(crate) fn segment_types(&self) -> Option<Vec<u32>> {
        let table = self.word64(32)?;
        let size = u64::from(self.word16(54)?);
        let count = u64::from(self.word16(56)?);
        (0..count)
            .map(|index| self.word32(table + index * size))
            .collect()
    }

    /// Names of the defined symbols; `None` when the file has been stripped.
    pub(crate) fn defined_symbols(&self) -> Option<Vec<&'a str>> {
        let table = self.word64(40)?;
        let size = u64::from(self.word16(58)?);
        let count = u64::from(self.word16(60)?);
        let sections = (0..count).map(|index| table + index * size);
        let symbols = sections
            .clone()
            .find(|header| self.word32(header + 4) == Some(SHT_SYMTAB))?;
        let strings = table + u64::from(self.word32(symbols + 40)?) * size;
        let names = self.word64(strings + 24)?;
        let start = self.word64(symbols + 24)?;
        let end = start + self.word64(symbols + 32)?;
        let mut found = Vec::new();
        let mut entry = start;
        while entry < end {
            // st_shndx 0 is "undefined".
            if self.word16(entry + 6)? != 0 {
                found.push(self.text(names + u64::from(self.word32(entry)?))?);
            }
            entry += 24;
        }
        Some(found)
    }

    fn slice(&self, offset: u64, length: usize) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }

    fn word16(&self, offset: u64) -> Option<u16> {
        Some(u16::from_le_bytes(self.slice(offset, 2)?.try_into().ok()?))
    }

    fn word32(&self, offset: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.slice(offset, 4)?.try_into().ok()?))
    }

    fn word64(&self, offset: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.slice(offset, 8)?.try_into().ok()?))
    }

    fn text(&self, offset: u64) -> Option<&'a str> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}
