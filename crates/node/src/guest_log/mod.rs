//! SHIM
use insula_container::error::Result;
use std::path::Path;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    Terminal,
}
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    pub max_bytes: Option<u64>,
    pub max_files: u32,
}
#[derive(Debug)]
pub struct LogWriter;
#[derive(Debug)]
pub struct LogHealth {
    pub lost_bytes: u64,
    pub reason: String,
}
impl LogWriter {
    pub fn open(_: &Path, _: LogOptions) -> Result<Self> {
        Ok(Self)
    }
    pub fn append(&mut self, _: Stream, _: &[u8]) {}
    pub fn health(&self) -> Option<LogHealth> {
        None
    }
}
