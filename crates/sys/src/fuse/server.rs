//! Takes requests and answers them.
//!
//! A server never waits for anything but the next request: whatever it is asked it answers from
//! what it has. [`serve`] is the loop of one thread, [`serve_by_threads`] that of several;
//! [`Server`] is for those with a loop of their own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{read, write};

use super::connection::{Connection, READ_PAGES, REQUEST_BYTES};
use super::file_system::{FileSystem, Listing, ReadRequest};
use super::protocol::{Attributes, Operation, Range, Reply, Request};
use crate::{Errno, Result};

/// The longest read or listing, whatever is asked.
const READ_BYTES: usize = READ_PAGES as usize * 4096;

/// What became of waiting for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One was answered.
    Answered,
    /// The time is over.
    Idle,
    /// The mount is gone.
    Ended,
}

/// One of those who serve a connection.
#[derive(Debug)]
pub struct Server {
    device: OwnedFd,
    request: Box<[u8; REQUEST_BYTES]>,
    reply: Reply,
}

/// Serves until the mount is gone.
///
/// # Errors
/// The kernel's, where it is not the end.
pub fn serve(connection: &Connection, file_system: &impl FileSystem) -> Result<()> {
    let mut server = Server::new(connection)?;
    while server.step(file_system, None)? != Step::Ended {}
    Ok(())
}

/// As [`serve`], by several threads, of which the caller's is one.
///
/// # Errors
/// As for [`serve`]: the first one. Those who could not start are done without.
pub fn serve_by_threads(
    connection: &Connection,
    threads: usize,
    file_system: &impl FileSystem,
) -> Result<()> {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let serving = move || serve(connection, file_system);
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            // One of them is enough, and the others may have failed for want of memory.
            let _ = builder
                .name("file server".to_owned())
                .spawn_scoped(scope, serving);
        }
        serve(connection, file_system)
    })
}

/// Nothing here recurses; buffers are on the heap.
const STACK_BYTES: usize = 128 << 10;

impl Server {
    /// # Errors
    /// As for cloning the connection.
    pub fn new(connection: &Connection) -> Result<Self> {
        Ok(Self {
            device: connection.clone_for_server()?,
            request: Box::new([0; REQUEST_BYTES]),
            reply: Reply::default(),
        })
    }

    /// Waits for a request, for as long as it takes or until the time is over, and answers it.
    ///
    /// # Errors
    /// The kernel's, where it is not the end.
    pub fn step(&mut self, file_system: &impl FileSystem, wait: Option<Timespec>) -> Result<Step> {
        if wait.is_some() {
            let mut polled = [PollFd::new(&self.device, PollFlags::IN)];
            match poll(&mut polled, wait.as_ref()) {
                Ok(0) => return Ok(Step::Idle),
                Ok(_) => {}
                Err(Errno::INTR) => return Ok(Step::Idle),
                Err(errno) => return Err(errno),
            }
        }
        let length = match read(&self.device, &mut self.request[..]) {
            Ok(length) => length,
            // Whoever asked was interrupted before we had it.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => return Ok(Step::Idle),
            Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(Step::Ended),
            Err(errno) => return Err(errno),
        };
        let Some(request) = Request::parse(&self.request[..length]) else {
            return Ok(Step::Answered);
        };
        self.reply.begin();
        let Some(outcome) = answer(file_system, &request, &mut self.reply) else {
            return Ok(Step::Answered);
        };
        let message = self.reply.finish(request.unique, outcome);
        match write(&self.device, message) {
            Err(Errno::NODEV | Errno::CONNABORTED) => Ok(Step::Ended),
            // Whoever asked does not wait any more.
            Ok(_) | Err(Errno::NOENT) => Ok(Step::Answered),
            Err(_) => self.give_up(request.unique),
        }
    }

    /// An answer that the kernel does not take must not leave somebody waiting.
    fn give_up(&mut self, unique: u64) -> Result<Step> {
        let message = self.reply.finish(unique, Err(Errno::IO));
        match write(&self.device, message) {
            Err(Errno::NODEV | Errno::CONNABORTED) => Ok(Step::Ended),
            Ok(_) | Err(Errno::NOENT) => Ok(Step::Answered),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Server {
    /// Readable when there is a request.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// `None` where nothing is to be answered.
fn answer<F: FileSystem>(
    file_system: &F,
    request: &Request<'_>,
    reply: &mut Reply,
) -> Option<Result<()>> {
    let node = request.node;
    Some(match request.operation {
        Operation::Forget | Operation::Interrupt | Operation::Destroy => return None,
        Operation::LookUp(name) => look_up(file_system, node, name, reply),
        Operation::GetAttributes => file_system
            .attributes(node)
            .map(|found| reply.attributes(&found, F::VALID_SECONDS)),
        Operation::ReadLink => file_system
            .read_link(node)
            .map(|target| reply.bytes(&target)),
        Operation::Open => file_system
            .open(node)
            .map(|opened| reply.opened(opened.handle, opened.flags)),
        Operation::Release(handle) => {
            file_system.close(handle);
            Ok(())
        }
        Operation::ReleaseDirectory => Ok(()),
        Operation::Read(range) => read_content(file_system, node, &range, reply),
        Operation::ReadDirectory(range) => list(file_system, node, (&range, false), reply),
        Operation::ReadDirectoryPlus(range) => list(file_system, node, (&range, true), reply),
        Operation::StatFs => {
            reply.statistics(&file_system.statistics());
            Ok(())
        }
        Operation::GetXattr(name, size) => file_system
            .xattr(node, name)
            .and_then(|value| sized(&value, size, reply)),
        Operation::ListXattr(size) => file_system
            .xattr_names(node)
            .and_then(|names| sized(&names, size, reply)),
        // Nothing is kept for an open directory: the kernel need not ask again.
        Operation::OpenDirectory | Operation::Other(_) => Err(Errno::NOSYS),
        // The first exchange is over.
        Operation::Init(_) | Operation::Malformed => Err(Errno::INVAL),
    })
}

fn look_up<F: FileSystem>(
    file_system: &F,
    directory: u64,
    name: &[u8],
    reply: &mut Reply,
) -> Result<()> {
    match file_system.look_up(directory, name) {
        Ok((node, attributes)) => reply.entry(node, &attributes, F::VALID_SECONDS),
        // Node 0: the kernel remembers that there is nothing.
        Err(Errno::NOENT) => reply.entry(0, &Attributes::default(), F::VALID_SECONDS),
        Err(errno) => return Err(errno),
    }
    Ok(())
}

fn length_of(range: &Range) -> usize {
    usize::try_from(range.size)
        .unwrap_or(READ_BYTES)
        .min(READ_BYTES)
}

fn read_content(
    file_system: &impl FileSystem,
    node: u64,
    range: &Range,
    reply: &mut Reply,
) -> Result<()> {
    let wanted = ReadRequest {
        node,
        handle: range.handle,
        offset: range.offset,
    };
    let count = file_system.read(&wanted, reply.room(length_of(range)))?;
    reply.filled(count);
    Ok(())
}

fn list<F: FileSystem>(
    file_system: &F,
    node: u64,
    (range, is_plus): (&Range, bool),
    reply: &mut Reply,
) -> Result<()> {
    let mut listing = Listing::new(reply, length_of(range), is_plus, F::VALID_SECONDS);
    file_system.read_directory(node, range.offset, &mut listing)
}

/// A value, or its length where that was asked for.
fn sized(value: &[u8], size: u32, reply: &mut Reply) -> Result<()> {
    if size == 0 {
        reply.xattr_length(value.len());
    } else if value.len() > usize::try_from(size).unwrap_or(usize::MAX) {
        return Err(Errno::RANGE);
    } else {
        reply.bytes(value);
    }
    Ok(())
}
