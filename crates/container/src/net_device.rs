//! Moving network devices of the host into the container (config-linux.md, Network Devices).
//!
//! By rtnetlink(7): the addresses are read, the device is moved and renamed in one request, the
//! addresses that are permanent and global are put back, and the device is set up. The second half
//! needs a socket of the container's network namespace, which the runtime visits to open it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::process::{CLONE_NEWNET, setns};
use insula_sys::rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::error::{Context, Error, Result};
use crate::spec::NetDevice;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE_EXCL: u16 = 0x600;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFF_UP: u32 = 1;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_NODAD: u32 = 0x02;
const RT_SCOPE_UNIVERSE: u8 = 0;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Lengths of `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;

/// Moves all devices of `linux.netDevices` to the network namespace of the process `pid`.
pub(crate) fn move_all(devices: &BTreeMap<String, NetDevice>, pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/net");
    let namespace = File::open(&path).step(|| format!("open {path}"))?;
    let outside = Netlink::open()?;
    let inside = open_inside(&namespace)?;
    for (name, device) in devices {
        let new_name = device
            .name
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or(name);
        move_one(&outside, &inside, &namespace, name, new_name)
            .step(|| format!("linux.netDevices.{name}: move it into the container"))?;
    }
    Ok(())
}

/// Opens a socket in another network namespace and comes back.
fn open_inside(namespace: &File) -> Result<Netlink> {
    let own = File::open("/proc/self/ns/net").step(|| "open the own network namespace")?;
    setns(namespace.as_fd(), CLONE_NEWNET).step(|| "visit the container's network namespace")?;
    let socket = Netlink::open();
    setns(own.as_fd(), CLONE_NEWNET).step(|| "come back to the own network namespace")?;
    socket
}

fn move_one(
    outside: &Netlink,
    inside: &Netlink,
    namespace: &File,
    name: &str,
    new_name: &str,
) -> Result<()> {
    let index = outside.index_of(name)?;
    // The kernel moves first and renames then: a device that cannot be renamed would go down with
    // the container's namespace.
    if !new_name.contains('%') && inside.index_of(new_name).is_ok() {
        return Err(Error::new(format!(
            "the container has a device {new_name} already"
        )));
    }
    let addresses = outside.addresses_of(index)?;
    outside
        .set_link(index, false, &[])
        .step(|| "set the device down")?;
    let target = namespace.as_raw_fd().to_ne_bytes();
    let attributes = [
        (IFLA_IFNAME, terminated(new_name)),
        (IFLA_NET_NS_FD, target.to_vec()),
    ];
    outside
        .move_link(index, &attributes)
        .step(|| format!("move and rename it to {new_name}"))?;
    // The kernel keeps the index when it is free; a name made from a template is known only by it.
    let index = if new_name.contains('%') {
        index
    } else {
        inside.index_of(new_name)?
    };
    for address in &addresses {
        inside
            .add_address(index, address)
            .step(|| "put an address back")?;
    }
    inside
        .set_link(index, true, &[])
        .step(|| "set the device up")
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// An address as the kernel reported it.
#[derive(Debug)]
struct Address {
    body: [u8; ADDRESS_BODY],
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A socket of the routing family.
#[derive(Debug)]
struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    fn open() -> Result<Self> {
        // Protocol 0 of the family is NETLINK_ROUTE.
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
            .step(|| "open a routing socket")?;
        Ok(Self { socket })
    }

    fn index_of(&self, name: &str) -> Result<u32> {
        let body = [0; LINK_BODY];
        let mut index = None;
        self.ask(
            RTM_GETLINK,
            0,
            &body,
            &[(IFLA_IFNAME, terminated(name))],
            |body| {
                index = body
                    .get(4..8)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(u32::from_ne_bytes);
            },
        )
        .step(|| format!("find the network device {name}"))?;
        index.ok_or_else(|| Error::new(format!("network device {name} not found")))
    }

    /// The permanent addresses of global scope.
    fn addresses_of(&self, index: u32) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        self.ask(
            RTM_GETADDR,
            NLM_F_DUMP,
            &[0; ADDRESS_BODY],
            &[],
            |message| {
                addresses.extend(parse_address(message, index));
            },
        )
        .step(|| "read the device's addresses")?;
        Ok(addresses)
    }

    fn add_address(&self, index: u32, address: &Address) -> Result<()> {
        let mut body = address.body;
        body[4..].copy_from_slice(&index.to_ne_bytes());
        match self.ask(
            RTM_NEWADDR,
            NLM_F_CREATE_EXCL,
            &body,
            &address.attributes,
            |_| {},
        ) {
            Err(Errno::EXIST) => Ok(()),
            other => other.step(|| "add the address"),
        }
    }

    fn set_link(&self, index: u32, is_up: bool, attributes: &[(u16, Vec<u8>)]) -> Result<()> {
        let flags = if is_up { IFF_UP } else { 0 };
        self.ask(
            RTM_NEWLINK,
            0,
            &link_body(index, flags, IFF_UP),
            attributes,
            |_| {},
        )
        .step(|| "change the device")
    }

    fn move_link(&self, index: u32, attributes: &[(u16, Vec<u8>)]) -> Result<()> {
        self.ask(RTM_NEWLINK, 0, &link_body(index, 0, 0), attributes, |_| {})
            .step(|| "change the device's namespace")
    }

    /// Sends one request and reads until its end; `each` gets the body of every reply.
    fn ask(
        &self,
        kind: u16,
        flags: u16,
        body: &[u8],
        attributes: &[(u16, Vec<u8>)],
        mut each: impl FnMut(&[u8]),
    ) -> insula_sys::Result<()> {
        let mut message = vec![0; HEADER];
        message.extend_from_slice(body);
        for (kind, value) in attributes {
            let length = u16::try_from(value.len() + 4).map_err(|_too_long| Errno::INVAL)?;
            message.extend_from_slice(&length.to_ne_bytes());
            message.extend_from_slice(&kind.to_ne_bytes());
            message.extend_from_slice(value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(message.len()).map_err(|_too_long| Errno::INVAL)?;
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[6..8].copy_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        send(&self.socket, &message, SendFlags::empty())?;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let (length, _) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            if read_replies(&buffer[..length], &mut each)? {
                return Ok(());
            }
        }
    }
}

fn link_body(index: u32, flags: u32, mask: u32) -> [u8; LINK_BODY] {
    let mut body = [0; LINK_BODY];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..].copy_from_slice(&mask.to_ne_bytes());
    body
}

/// Walks the messages of one datagram; true when the request has been answered.
fn read_replies(mut bytes: &[u8], each: &mut impl FnMut(&[u8])) -> insula_sys::Result<bool> {
    while bytes.len() >= HEADER {
        let length = usize::try_from(word(bytes, 0)).unwrap_or(0);
        if length < HEADER || length > bytes.len() {
            return Err(Errno::BADMSG);
        }
        match u16::from_ne_bytes([bytes[4], bytes[5]]) {
            NLMSG_ERROR => {
                let code = word(bytes, HEADER).cast_signed();
                return if code == 0 {
                    Ok(true)
                } else {
                    Err(Errno::from_raw_os_error(-code))
                };
            }
            NLMSG_DONE => return Ok(true),
            _ => each(&bytes[HEADER..length]),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

fn parse_address(message: &[u8], index: u32) -> Option<Address> {
    let body: [u8; ADDRESS_BODY] = message.get(..ADDRESS_BODY)?.try_into().ok()?;
    let mut flags = u32::from(body[2]);
    let mut attributes = Vec::new();
    let mut rest = &message[ADDRESS_BODY..];
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..length)?;
        match kind {
            IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST => attributes.push((kind, value.to_vec())),
            IFA_FLAGS => flags = word(value, 0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let is_wanted =
        word(&body, 4) == index && body[3] == RT_SCOPE_UNIVERSE && flags & IFA_F_PERMANENT != 0;
    // The address was checked for duplicates where it comes from.
    attributes.push((IFA_FLAGS, (flags | IFA_F_NODAD).to_ne_bytes().to_vec()));
    is_wanted.then_some(Address { body, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permanent_global_addresses_of_the_device_are_kept() {
        let address = |scope: u8, flags: u8, index: u32| {
            let mut message = vec![2, 24, flags, scope];
            message.extend_from_slice(&index.to_ne_bytes());
            message.extend_from_slice(&[8, 0, 2, 0, 10, 0, 0, 1]);
            message
        };
        let kept = parse_address(&address(0, 0x80, 7), 7).unwrap();
        assert_eq!(kept.attributes[0], (IFA_LOCAL, vec![10, 0, 0, 1]));
        assert!(parse_address(&address(253, 0x80, 7), 7).is_none());
        assert!(parse_address(&address(0, 0, 7), 7).is_none());
        assert!(parse_address(&address(0, 0x80, 8), 7).is_none());
    }

    #[test]
    fn a_truncated_reply_is_an_error() {
        assert_eq!(read_replies(&[255; 20], &mut |_| {}), Err(Errno::BADMSG));
    }
}
