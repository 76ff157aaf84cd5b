//! A file system served by this program: /dev/fuse, without any library or helper.
//!
//! ```text
//!  connection.rs   mount(2) by fsopen, the first exchange, descriptors of several servers
//!  protocol.rs     what requests and replies are, byte by byte
//!  file_system.rs  the trait that a file system implements: read-only ones
//!  server.rs       one request after the other, until the mount is gone
//! ```
//!
//! The descriptor of a [`Connection`] is only its anchor: each server works on a clone of its own.
//! When a server is killed, the requests it had taken fail and the others wait for whoever serves
//! next; when the last descriptor goes, every request fails; when the mount goes, servers end.
//!
//! Start at [`mount`] and [`serve`].

mod connection;
mod file_system;
pub mod protocol;
mod server;

pub use connection::{Connection, DEVICE, MountOptions, Mounted, mount};
pub use file_system::{FileSystem, Listing, Opened, ReadRequest};
pub use protocol::{Attributes, Statistics};
pub use server::{Server, Step, serve, serve_by_threads};
