//! Trees are removed at once, whatever their size.
//!
//! Unlinking a file takes microseconds; giving back the blocks and cached pages of a large one does
//! not: a tenth of a second for a GB where the disk is told of every freed block (mount option
//! `discard`). So a child process keeps the large files open until their names are gone, and ends:
//! the kernel then does that work in the child's time. Nothing can be left behind, for the names
//! went first and the files go with the child, whatever ends it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use insula_sys::descriptor::{close_copies_but, close_copy};
use insula_sys::process::{clone3, exit_now};
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::io::read;
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Smaller files are given back faster than a process is made.
const LARGE_BYTES: u64 = 16 << 20;
/// Layers and blobs are few; an unpacked layer may hold many large files.
const LARGE_FILES_MAX: usize = 256;
/// Of a staging directory: `layers-<digest>/layer.erofs`.
const DEPTH_MAX: usize = 2;

/// Removes `path` with everything in it.
pub(super) fn remove_tree(path: &Path) -> std::io::Result<()> {
    let mut large = Vec::new();
    open_large(path, DEPTH_MAX, &mut large);
    let removed = fs::remove_dir_all(path);
    if !large.is_empty() {
        hand_over(large);
    }
    removed
}

fn open_large(directory: &Path, depth: usize, large: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() && depth > 0 {
            open_large(&entry.path(), depth - 1, large);
        } else if metadata.is_file()
            && metadata.len() >= LARGE_BYTES
            && large.len() < LARGE_FILES_MAX
        {
            large.extend(File::open(entry.path()));
        }
    }
}

/// Where no process can be made, the files are given back here.
fn hand_over(files: Vec<File>) {
    let Ok((wait, go)) = pipe_with(PipeFlags::CLOEXEC) else {
        return;
    };
    // The child is not waited for: it ends by itself, after this process or before.
    let child = clone3(0, None, || keep_open(&files, &wait, &go));
    drop(child);
    // First the files, so that the child's are the last ones.
    drop(files);
    drop(go);
}

/// The child: nobody may wait for it at the other end of a pipe, or for a lock of its parent's.
fn keep_open(files: &[File], wait: &OwnedFd, go: &OwnedFd) -> ! {
    close_copy(std::os::fd::AsFd::as_fd(go));
    if let Ok(nothing) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = dup2_stdin(&nothing);
        let _ = dup2_stdout(&nothing);
        let _ = dup2_stderr(&nothing);
    }
    let files = files.iter().map(AsRawFd::as_raw_fd);
    let mut kept: Vec<RawFd> = files.chain([wait.as_raw_fd()]).collect();
    if close_copies_but(&mut kept).is_ok() {
        // The end of the stream, when the parent has closed the files or is gone.
        let _ = read(wait, &mut [0_u8; 1]);
    }
    exit_now(0)
}
