//! The program's entry, called by the C library without the Rust runtime's start-up.
//!
//! That start-up reads `/proc/self/maps` for a stack guard, installs handlers for stack overflows
//! and names the thread: about a dozen system calls in a program that is started for each
//! container. What of it matters here is kept: SIGPIPE is ignored, so that writing to a closed pipe
//! is an error and not a death. Standard output is not flushed at the end: whoever prints flushes.

/// Makes `$enter`, a `fn() -> u8`, the entry; the number is the exit code. The crate says
/// `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($enter:path) => {
        #[allow(
            unsafe_code,
            reason = "the C library knows the entry by the name `main`"
        )]
        // SAFETY: the name is taken once, by this macro, in a program without another `main`.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            $crate::entry::ignore_broken_pipes();
            i32::from($enter())
        }
    };
}

/// Writing to a pipe nobody reads gives an error instead of a signal.
pub fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
